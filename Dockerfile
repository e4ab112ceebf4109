# syntax=docker/dockerfile:1
# One static binary and nothing else: no shell, no libraries, nothing to patch but what it is made of. It is built on the
# architecture that it is for, and without the sandbox, which is for trying.
FROM rust:1.95.0-slim-bookworm AS build

# The one keeps in the binary what it is made of, for what scans images; the other gathers the licences of that.
RUN cargo install --locked cargo-auditable@0.7.7 \
    && cargo install --locked --features cli cargo-about@0.9.3

WORKDIR /source
COPY . .
RUN .ci/strip-dev-dependencies
# The target is named so that only the binary is static, and not what the compiler loads. A static binary finds no getrandom
# to load, and would read /dev/urandom: it asks the kernel itself instead.
RUN target="$(rustc --print host-tuple)" \
    && export RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    && cargo auditable build --profile image --locked --package tokenwright --no-default-features --target "$target" \
    && cp "target/$target/image/tokenwright" /tokenwright
RUN cargo about generate --locked --fail --no-default-features --config .ci/about.toml \
        --output-file /THIRD-PARTY .ci/about.hbs
# It starts, has no sandbox in it, and is no larger than nodes should have to fetch.
RUN /tokenwright --version \
    && ! /tokenwright sandbox --help \
    && test "$(stat --format %s /tokenwright)" -le 25000000

FROM scratch
COPY LICENSE /LICENSE
COPY --from=build /THIRD-PARTY /THIRD-PARTY
COPY --from=build /tokenwright /tokenwright
USER 65532:65532
ENTRYPOINT ["/tokenwright"]
