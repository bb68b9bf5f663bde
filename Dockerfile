# Two images: `backend`, and `ray`, which is a backend with Ray on top. A Ray node runs the same workers.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# Further options for pip, e.g. an index with builds of PyTorch for the CPU: the default build has CUDA, several gigabytes of it.
ARG PIP_OPTIONS=""
WORKDIR /build
RUN python -m venv --without-pip /opt/ktrdr
COPY wheels/ wheels/
COPY pyproject.toml constraints.txt ./
# The dependencies in a layer of their own, which a change of the source leaves alone. Only wheels: no compiler, no build script.
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir ktrdr && echo '__version__ = "0"' >ktrdr/__init__.py && touch README.md LICENSE \
    && pip --python /opt/ktrdr/bin/python install --only-binary :all: --no-binary ktrdr \
        --find-links wheels ${PIP_OPTIONS} --constraint constraints.txt . 'setuptools>=77' \
    && rm -rf build
COPY README.md LICENSE ./
COPY ktrdr/ ktrdr/
RUN pip --python /opt/ktrdr/bin/python install --no-index --no-build-isolation --no-deps --force-reinstall .


FROM ${BASE} AS backend
# A fixed uid, so that the files of a volume have the same owner in every image and after every upgrade.
RUN groupadd --gid 10001 ktrdr \
    && useradd --uid 10001 --gid ktrdr --create-home --shell /usr/sbin/nologin ktrdr \
    && install -d -m 0700 -o ktrdr -g ktrdr /var/lib/ktrdr /var/cache/ktrdr
COPY --from=build /opt/ktrdr /opt/ktrdr
ENV PATH=/opt/ktrdr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    KTRDR_HOME=/var/lib/ktrdr \
    NUMBA_CACHE_DIR=/var/cache/ktrdr
USER 10001:10001
WORKDIR /var/lib/ktrdr
VOLUME /var/lib/ktrdr
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
backend = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('KTRDR_PORT') or 8000), timeout=4); \
backend.request('GET', '/api/v1/ready'); \
sys.exit(backend.getresponse().status != 200)"]
CMD ["python", "-m", "ktrdr.api"]


FROM backend AS ray
ARG PIP_OPTIONS=""
USER root
# ktrdr is there already; pip adds what its extra names. The layers below are shared with the backend.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=build,source=/build,target=/build \
    pip --python /opt/ktrdr/bin/python install --only-binary :all: \
        --find-links /build/wheels ${PIP_OPTIONS} --constraint /build/constraints.txt 'ktrdr[ray]'
ENV RAY_USAGE_STATS_ENABLED=0
USER 10001:10001
EXPOSE 8265
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, sys; \
dashboard = http.client.HTTPConnection('127.0.0.1', 8265, timeout=4); \
dashboard.request('GET', '/api/gcs_healthz'); \
sys.exit(dashboard.getresponse().status != 200)"]
CMD ["python", "-m", "ktrdr.workers.ray_node", "--head", "--dashboard-host=0.0.0.0"]
