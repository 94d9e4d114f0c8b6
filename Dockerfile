# syntax=docker/dockerfile:1
# docker build -t flowlord . && docker run -p 127.0.0.1:8080:8080 -v flowlord-data:/data -v ./workflows:/workflows:ro flowlord
#
# The program alone, for any Linux, without the C library of its system:
# docker build --build-arg TARGET=x86_64-unknown-linux-musl --target program --output . .
#
# The base is an argument, so that a site can pin a digest or name its own copy. It needs Rust 1.95 and a C compiler; with
# TARGET also rustup and apt.
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS base
ARG TARGET=
# `release` builds in less than half of the time, and is a tenth slower.
ARG PROFILE=dist
WORKDIR /src
# Both are set for the stages that follow, too.
ENV CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 TARGET=${TARGET} PROFILE=${PROFILE}
RUN [ -z "$TARGET" ] \
    || (rustup target add "$TARGET" && apt-get update && apt-get install -y --no-install-recommends musl-tools)

# Manifests with empty crates: the next layer, of dependencies, is made anew only when one of these changes.
FROM base AS manifests
COPY . .
RUN find . -name '*.rs' -delete \
    && find . -name Cargo.toml -exec sh -c 'mkdir -p "${1%Cargo.toml}src" && : > "${1%Cargo.toml}src/lib.rs"' _ {} \; \
    && echo 'fn main() {}' | tee src/main.rs > tools/src/main.rs \
    && find . -type f -not -name 'Cargo.*' -not -name '*.rs' -not -path './.cargo/*' -delete

FROM base AS dependencies
COPY --from=manifests /src .
RUN cargo build --profile "$PROFILE" --locked --bin flowlord ${TARGET:+--target $TARGET}

# The program, and beside it only what it needs to run: the C library, certificates, a name for its user.
FROM dependencies AS build
COPY . .
RUN find . -name '*.rs' -exec touch {} + \
    && cargo build --profile "$PROFILE" --locked --bin flowlord ${TARGET:+--target $TARGET} \
    && program=target/$TARGET/$PROFILE/flowlord \
    && mkdir -p /root-fs/usr/local/bin /root-fs/etc/ssl/certs /root-fs/workflows \
    && mkdir -m 0777 /root-fs/data \
    && cp "$program" /root-fs/usr/local/bin/ \
    && cp -L /etc/ssl/certs/ca-certificates.crt /root-fs/etc/ssl/certs/ \
    && echo 'flowlord:x:10001:10001::/data:/usr/local/bin/flowlord' > /root-fs/etc/passwd \
    && echo 'flowlord:x:10001:' > /root-fs/etc/group \
    && echo 'hosts: files dns' > /root-fs/etc/nsswitch.conf \
    && for library in $(ldd "$program" | grep -o '/[^ ]*'); do \
           mkdir -p "/root-fs$(dirname "$library")" && cp -L "$library" "/root-fs$library" || exit 1; \
       done

FROM scratch AS program
COPY --from=build /root-fs/usr/local/bin/flowlord /

FROM scratch
LABEL org.opencontainers.image.title="flowlord" \
      org.opencontainers.image.description="A task orchestrator in one container" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /root-fs /
# The image's own values are the lowest layer: a configuration file goes over them, and so do variables without IMAGE__.
ENV PATH=/usr/local/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    FLOWLORD_IMAGE__WORKFLOW=/workflows \
    FLOWLORD_IMAGE__DATA=/data \
    FLOWLORD_IMAGE__LISTEN=0.0.0.0:8080
# Any other works as well: what it writes is below /data only, which everyone in the container may write.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["flowlord", "health"]
ENTRYPOINT ["flowlord"]
CMD ["serve"]
