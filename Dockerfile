# The agent alone; HAProxy comes from its own image. The image holds the program, its libraries, CA certificates and time
# zones: no shell, nothing else to run, 28 MB.
#
#   docker build -t rpc-weighter:0.1.0 --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) .
#   docker buildx build --platform linux/amd64,linux/arm64 …     each is compiled on this machine's own architecture

FROM --platform=$BUILDPLATFORM debian:12 AS build
WORKDIR /src
# First, and alone: as long as scripts/ is the same, the packages come from the build cache, of either architecture.
COPY scripts scripts
RUN scripts/deps --build-only && apt-get install -y --no-install-recommends ca-certificates tzdata
# Without a default, which would take precedence over the architecture that is asked for.
ARG TARGETARCH
RUN if [ "$(dpkg --print-architecture)-$TARGETARCH" = amd64-arm64 ]; then scripts/deps --arm64 && scripts/sysroot arm64; fi
# What .dockerignore lets through: only what the program is built from.
COPY . .
ARG REVISION=
RUN export RPCW_REVISION=$REVISION \
 && if [ "$(dpkg --print-architecture)-$TARGETARCH" = amd64-arm64 ]; then \
      scripts/build arm64 rpc-weighter \
   && scripts/image-root build/arm64/src/rpc-weighter /image build/sysroot-arm64 \
   && qemu-aarch64-static -L /image /image/usr/bin/rpc-weighter --version; \
    else \
# A library that is missing must fail here, not where the image is started.
      scripts/build program rpc-weighter \
   && scripts/image-root build/program/src/rpc-weighter /image \
   && chroot /image /usr/bin/rpc-weighter --version; \
    fi

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="rpc-weighter" \
      org.opencontainers.image.description="Keeps HAProxy server weights in step with RPC provider health" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image /
ENV PATH=/usr/bin
# By number, so that Kubernetes can tell it from root. It owns no file and needs none: any other id works as well.
# To use HAProxy's admin socket, run it with the socket's group (--group-add, or fsGroup in Kubernetes).
USER 10001:10001
# Asks the address that `[http] listen` has by default. Kubernetes asks by itself and ignores this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/bin/rpc-weighter", "health"]
ENTRYPOINT ["/usr/bin/rpc-weighter"]
CMD ["run", "--config", "/etc/rpc-weighter/config.toml"]
