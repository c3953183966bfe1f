# The agent alone; HAProxy comes from its own image. Both stages are Debian 12, so the libraries are the same.
#
#   docker build -t rpc-weighter:0.1.0 .

FROM debian:12 AS build
WORKDIR /src
# First, and alone: as long as scripts/ is the same, the packages come from the build cache.
COPY scripts scripts
RUN scripts/deps --build-only
# What .dockerignore lets through: only what the program is built from.
COPY . .
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DRPCW_TESTS=OFF \
 && cmake --build /build --target rpc-weighter \
 && cmake --install /build --prefix /usr/local --strip

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libcurl4 libfmt9 libspdlog1.10 libssl3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/rpc-weighter /usr/local/bin/rpc-weighter
# A library that the list above lacks must fail here, not where the image is started.
RUN rpc-weighter --version
# By number, so that Kubernetes can tell it from root. It owns no file and needs none: any other id works as well.
# To use HAProxy's admin socket, run it with the socket's group (--group-add, or fsGroup in Kubernetes).
USER 10001:10001
ENTRYPOINT ["rpc-weighter"]
CMD ["run", "--config", "/etc/rpc-weighter/config.toml"]
