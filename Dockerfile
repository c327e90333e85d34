# The service, in an image without a compiler. It runs without root and without write access.
#
#   docker build -t charstream .                          serves on a CPU, without PyTorch
#   docker build -t charstream:train --target train .     trains, and serves in fp32 too
#   docker build -t charstream:cuda --target cuda .       the same on an NVIDIA GPU
#
# TORCH_BACKEND selects the build of PyTorch: "cpu", or a CUDA release ("cu126", "cu130", ...). uv
# installs that build from PyTorch's own index. "pip" installs the build from pip's default index
# instead, such as a mirror.

# All versions that no lock file pins. To pin the base image by its digest too:
#   --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:...
ARG PYTHON_VERSION=3.11
ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim
ARG TORCH_VERSION=2.13.0

# The tools that build the image. The packages go into the environment /opt/charstream, which does not
# contain these tools.
FROM ${PYTHON_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1 \
    UV_PYTHON=/opt/charstream/bin/python
WORKDIR /build
COPY deploy/requirements-build.lock .
RUN pip install --quiet --no-compile --require-hashes -r requirements-build.lock \
    && python -m venv --without-pip /opt/charstream

# The native kernel is compiled here. Without it, the service needs PyTorch and is several times
# slower. So the build fails without it. ALLOW_NO_KERNEL=1 allows that for train and cuda.
FROM tools AS build
ARG ALLOW_NO_KERNEL=0
RUN { apt-get update -qq && apt-get install -qq --no-install-recommends g++ >/dev/null; } \
    || [ "$ALLOW_NO_KERNEL" = 1 ] \
    || { echo "ERROR: g++ cannot be installed. See the build argument ALLOW_NO_KERNEL." >&2; exit 1; }
COPY pyproject.toml README.md ./
COPY app app
COPY model model
COPY training training
RUN pip install --no-deps --no-build-isolation --no-compile --verbose --target /srv/charstream .
RUN ls /srv/charstream/model/_native*.so \
    || [ "$ALLOW_NO_KERNEL" = 1 ] \
    || { echo "ERROR: the native kernel did not compile. See the build argument ALLOW_NO_KERNEL." >&2; exit 1; }

FROM tools AS serve-packages
COPY deploy/requirements-serve.lock deploy/write-sbom ./
RUN uv pip install --quiet --require-hashes -r requirements-serve.lock \
    && find /opt/charstream -type d -name tests -path '*/numpy/*' -prune -exec rm -r {} +
RUN --mount=from=build,source=/srv,target=/srv --mount=source=pyproject.toml,target=/build/pyproject.toml \
    ./write-sbom

FROM tools AS train-packages
ARG TORCH_VERSION
ARG TORCH_BACKEND=cpu
COPY deploy/requirements-train.lock deploy/install-torch deploy/write-sbom ./
RUN uv pip install --quiet --require-hashes -r requirements-train.lock
RUN ./install-torch "$TORCH_VERSION" "$TORCH_BACKEND"
RUN --mount=from=build,source=/srv,target=/srv --mount=source=pyproject.toml,target=/build/pyproject.toml \
    ./write-sbom

FROM tools AS cuda-packages
ARG TORCH_VERSION
ARG TORCH_BACKEND=cu130
COPY deploy/requirements-train.lock deploy/install-torch deploy/write-sbom ./
RUN uv pip install --quiet --require-hashes -r requirements-train.lock
RUN ./install-torch "$TORCH_VERSION" "$TORCH_BACKEND"
RUN --mount=from=build,source=/srv,target=/srv --mount=source=pyproject.toml,target=/build/pyproject.toml \
    ./write-sbom

FROM ${PYTHON_IMAGE} AS runtime
# What the image was built from: the version of charstream, the commit and the repository's URL.
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="charstream" \
      org.opencontainers.image.description="Streams text from a character-level LSTM over HTTP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
# `docker stop` kills the process after 10 seconds. Streams get 7 seconds to finish, and slow clients
# 2 more.
ENV PATH=/opt/charstream/bin:$PATH \
    PYTHONPATH=/srv/charstream \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHARSTREAM_HOST=0.0.0.0 \
    CHARSTREAM_DRAIN_SECONDS=7
WORKDIR /srv/charstream
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('CHARSTREAM_PORT', '8000') + '/health/ready', timeout=2)"]
CMD ["python", "-m", "app"]
COPY --chmod=444 checkpoints/*.safetensors checkpoints/

# A target copies its packages and the program. Then it writes the bytecode of the modules that it
# imports, without which startup takes several times as long.
FROM runtime AS train
COPY --from=train-packages /opt/charstream /opt/charstream
COPY --from=build /srv/charstream .
RUN PYTHONDONTWRITEBYTECODE= python -c "import app.server.server, training.train_command, urllib.request, uvicorn.lifespan.on, uvicorn.loops.uvloop"
USER 10001:10001

FROM runtime AS cuda
COPY --from=cuda-packages /opt/charstream /opt/charstream
COPY --from=build /srv/charstream .
RUN PYTHONDONTWRITEBYTECODE= python -c "import app.server.server, training.train_command, urllib.request, uvicorn.lifespan.on, uvicorn.loops.uvloop"
USER 10001:10001

FROM runtime AS serve
COPY --from=serve-packages /opt/charstream /opt/charstream
COPY --from=build /srv/charstream .
RUN PYTHONDONTWRITEBYTECODE= python -c "import app.server.server, urllib.request, uvicorn.lifespan.on, uvicorn.loops.uvloop; \
    from model.native import library; \
    library.library() or exit('ERROR: no native kernel loads, so use the target train, which has PyTorch')"
USER 10001:10001
