# syntax=docker/dockerfile:1
# One static binary and nothing else: no shell, no libraries, nothing to patch but what it is made of. It is built on the
# architecture that it is for, and without the sandbox, which is for trying.
FROM rust:1.95.0-slim-bookworm AS build

# Keeps in the binary what it is made of, for what scans images.
RUN cargo install --locked cargo-auditable@0.7.7

WORKDIR /source
COPY . .
# The target is named so that only the binary is static, and not what the compiler loads. A static binary finds no getrandom
# to load, and would read /dev/urandom: it asks the kernel itself instead.
RUN target="$(rustc --print host-tuple)" \
    && export RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    && CARGO_PROFILE_RELEASE_STRIP=symbols cargo auditable build --release --locked --package tokenwright \
        --no-default-features --target "$target" \
    && cp "target/$target/release/tokenwright" /tokenwright \
    && /tokenwright --version

FROM scratch
COPY LICENSE /LICENSE
COPY --from=build /tokenwright /tokenwright
USER 65532:65532
ENTRYPOINT ["/tokenwright"]
