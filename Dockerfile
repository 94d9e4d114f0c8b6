# syntax=docker/dockerfile:1
# docker build -t flowlord . && docker run -p 8080:8080 -v flowlord-data:/data -v ./workflows:/workflows:ro flowlord
ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin flowlord && cp target/release/flowlord /flowlord

FROM ${RUN_IMAGE}
# Slack and object stores are reached over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home flowlord \
    && install -d -o flowlord /data /workflows
COPY --from=build /flowlord /usr/local/bin/flowlord
USER flowlord
VOLUME /data
EXPOSE 8080
# A container's port is reached from outside only where someone publishes it; see docs/configuration.md, [auth].
ENV FLOWLORD_WORKFLOW=/workflows \
    FLOWLORD_DATA=/data \
    FLOWLORD_LISTEN=0.0.0.0:8080 \
    FLOWLORD_AUTH__ALLOW_ANONYMOUS=true
ENTRYPOINT ["flowlord"]
CMD ["serve"]
