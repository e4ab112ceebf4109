# The project's recipes; `just` lists them.

_default:
    @just --list

# Try everything without a cluster.
sandbox *arguments:
    cargo run -- sandbox {{arguments}}

# What has to pass before a change lands.
check:
    .ci/run

# Every test.
test *arguments:
    cargo test --workspace {{arguments}}

# Write crds/ anew after a change in src/api.
crds:
    cargo run -- crd --output crds

# Write docs/reference.md anew after a change in src/api.
reference:
    WRITE_REFERENCE=yes cargo test --test deploy reference::the_reference

# Play the session of docs/session.svg anew, and draw it. Needs curl, and port 9000.
picture:
    WRITE_PICTURE=yes cargo test --test kubectl the_picture_is_drawn

# Licences and sources of the dependencies.
deny:
    cargo deny check licenses bans sources

# How fast tokens are issued.
bench-issue *arguments:
    cargo run --release --example bench-issue -- {{arguments}}

# How fast the verifier decides, and how much memory a token takes.
bench-verify *arguments:
    cargo run --release --example bench-verify -- {{arguments}}
