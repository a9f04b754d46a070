# The container image: docker build --tag braze-exporter .
#
# For a reproducible image, pin the base by its digest:
#   docker build --build-arg BASE=python:3.13-slim@sha256:... .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The only step with network access. Every package is verified by its hash, also the build
# backend.
COPY requirements.lock ./
RUN python -m pip download --quiet --require-hashes --only-binary :all: \
      --dest wheels -r requirements.lock

# Unchecked bytecode: with a checked one Python may compile at each start, as the file
# system may be read-only.
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN python -m pip wheel --quiet --no-index --find-links wheels --no-deps \
      --wheel-dir wheels . \
 && python -m venv --without-pip /opt/braze-exporter \
 && python -m pip --python /opt/braze-exporter/bin/python install --quiet --no-index \
      --find-links wheels --no-compile braze-exporter \
 && /opt/braze-exporter/bin/python -m compileall -q --invalidation-mode unchecked-hash \
      /opt/braze-exporter/lib

FROM ${BASE}
COPY --from=build /opt/braze-exporter /opt/braze-exporter
ENV PATH=/opt/braze-exporter/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Without pip. The public base image contains no bytecode of the standard library: the imported
# modules are compiled here. The state directory is writable for group 0, with which
# OpenShift runs containers under a user of its choice.
RUN find /usr -xdev -depth \( -name pip -o -name 'pip-*' -o -name 'pip3*' \
      -o -name ensurepip \) -exec rm -rf {} + \
 && python -c "import exporter, importlib, pkgutil; [importlib.import_module(one.name) \
      for one in pkgutil.walk_packages(exporter.__path__, 'exporter.')]" \
 && install -d -o 65532 -g 0 -m 0770 /var/lib/braze-exporter

# 100 campaigns need 52 MiB, and 69 MiB during a health check. Two malloc arenas save 2 MiB; the
# threads mostly wait.
ENV BRAZE_EXPORTER_CONFIG_FILE=/etc/braze-exporter/config.yaml \
    MALLOC_ARENA_MAX=2 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 10417
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["braze-exporter", "healthcheck"]
ENTRYPOINT ["braze-exporter"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="braze-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Braze campaigns, canvases and workspaces" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
