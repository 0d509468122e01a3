# A line on a PC or server with an NVIDIA GPU, or a DGX Spark: TensorRT-RTX from the package index. Never built yet.
#   make wheel && docker build -f docker/gpu.Dockerfile -t snl-edge:gpu .
ARG CUDA=13.0.1
ARG BUILD_IMAGE=nvcr.io/nvidia/cuda:${CUDA}-devel-ubuntu24.04
ARG BASE_IMAGE=nvcr.io/nvidia/cuda:${CUDA}-runtime-ubuntu24.04

# pycuda compiles against the toolkit, which the line does not need.
FROM ${BUILD_IMAGE} AS build
ARG EXTRAS=stream
# Whatever versions this release of Ubuntu has.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY dist/snl_edge-*.whl packaging/make-environment.sh packaging/jetpack-constraints.txt /opt/snl/install/
RUN /opt/snl/install/make-environment.sh /opt/snl/venv /opt/snl/install/snl_edge-*.whl --extras "${EXTRAS},rtx" \
    --opencv wheel --pycuda

FROM ${BASE_IMAGE}
# Whatever versions this release of Ubuntu has.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/snl /opt/snl

ENV TMPDIR=/var/tmp XDG_CACHE_HOME=/var/lib/snl-edge/.cache PATH=/opt/snl/venv/bin:$PATH
RUN groupadd --gid 10001 snl-edge \
 && useradd --uid 10001 --gid snl-edge --create-home --home-dir /var/lib/snl-edge snl-edge
USER 10001:10001
WORKDIR /var/lib/snl-edge
VOLUME /var/lib/snl-edge
EXPOSE 8080
# 503 while a check of the line fails. Docker only shows it: what restarts a line that hangs is systemd (docs/stream.md).
HEALTHCHECK --start-period=5m --interval=30s --timeout=5s CMD ["python", "-c", \
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=3)"]
ENTRYPOINT ["snl-edge"]
CMD ["stream", "run", "/etc/snl-edge/line.yaml"]
