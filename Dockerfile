# The service in an image without compiler, root or write access.
#
#   docker build -t charstream .                                  the CPU
#   docker build -t charstream:cuda --build-arg TORCH_BACKEND=cu126 .   an NVIDIA GPU
#
# TORCH_BACKEND is "cpu" or a CUDA release ("cu126", "cu130", ...): uv knows where PyTorch keeps
# each. "pip" takes the build that pip is set up to find instead, as a mirror may want.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ARG TORCH_BACKEND=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/charstream && python -m pip install --quiet uv
ENV VIRTUAL_ENV=/opt/charstream PATH=/opt/charstream/bin:$PATH
# Torch first, in a layer of its own: it is nearly all of the image and seldom changes.
RUN set -e; \
    if [ "$TORCH_BACKEND" = pip ]; then pip install --quiet "torch>=2.6"; \
    elif ! /usr/local/bin/python -m uv pip install --no-cache --torch-backend "$TORCH_BACKEND" "torch>=2.6"; then \
      [ "$TORCH_BACKEND" = cpu ]; \
      echo "PyTorch's own index is out of reach: taking the build that pip finds"; \
      pip install --quiet "torch>=2.6"; \
    fi
WORKDIR /build
COPY pyproject.toml README.md ./
COPY app app
COPY model model
COPY training training
RUN pip install --quiet . && find /opt/charstream -name __pycache__ -prune -exec rm -rf {} +

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="charstream" \
      org.opencontainers.image.description="Streams text from a character-level LSTM over HTTP" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/charstream /opt/charstream
WORKDIR /srv/charstream
COPY checkpoints checkpoints
ENV PATH=/opt/charstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHARSTREAM_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('CHARSTREAM_PORT', '8000') + '/health/ready', timeout=2)"]
CMD ["python", "-m", "app"]
