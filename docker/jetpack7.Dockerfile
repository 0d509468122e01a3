# A line on a Jetson with JetPack 7 (Thor; Orin from 7.2): these run the containers of Arm servers. Never built yet.
# No CSI cameras: OpenCV is the wheel of the package index. Install without a container for these (docs/jetson.md).
#   make wheel && docker build -f docker/jetpack7.Dockerfile -t snl-edge:jetpack7 .       on the Jetson
ARG BASE_IMAGE=nvcr.io/nvidia/tensorrt:25.11-py3
FROM ${BASE_IMAGE}
ARG EXTRAS=stream

# Whatever versions this release of Ubuntu has.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY dist/snl_edge-*.whl packaging/make-environment.sh packaging/jetpack-constraints.txt /opt/snl/install/
RUN /opt/snl/install/make-environment.sh /opt/snl/venv /opt/snl/install/snl_edge-*.whl --extras "${EXTRAS}" \
    --opencv wheel --pycuda

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
