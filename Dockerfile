# The service in an image without compiler, root or write access.
#
#   docker build -t charstream .                                         the CPU
#   docker build -t charstream:cuda --build-arg TORCH_BACKEND=cu126 .    an NVIDIA GPU
#
# TORCH_BACKEND is "cpu" or a CUDA release ("cu126", "cu130", ...): uv knows where PyTorch keeps
# each. "pip" takes the build that pip is set up to find instead, as a mirror may want.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS packages
ARG TORCH_BACKEND=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
RUN pip install --quiet uv && python -m venv --without-pip /opt/charstream
# uv and pip stay outside; this is where they install to.
ENV PIP_PYTHON=/opt/charstream/bin/python UV_PYTHON=/opt/charstream/bin/python
# Torch first, in a layer of its own: it is nearly all that there is to download.
# What goes again serves compilers of extensions, and the tests of torch's own requirements.
RUN set -e; \
    torch="torch>=2.6"; \
    if [ "$TORCH_BACKEND" = pip ]; then \
      pip install --quiet --no-compile "$torch"; \
    elif uv pip install --torch-backend "$TORCH_BACKEND" "$torch"; then \
      :; \
    elif [ "$TORCH_BACKEND" = cpu ]; then \
      echo "WARNING: PyTorch's own index is out of reach. Taking the build that pip finds," >&2; \
      echo "WARNING: which works as well but may be one for GPUs, larger by gigabytes." >&2; \
      pip install --quiet --no-compile "$torch"; \
    else \
      echo "ERROR: no torch for $TORCH_BACKEND" >&2; \
      exit 1; \
    fi; \
    cd /opt/charstream/lib/python3*/site-packages; \
    rm -rf torch/include torch/bin/protoc*; \
    find sympy networkx -type d -name tests -prune -exec rm -r {} +; \
    echo "Installed" torch-*.dist-info
WORKDIR /build
COPY pyproject.toml .
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && pip install --quiet --no-compile -r requirements.txt

FROM packages AS build
# A compiler for the native decoder, which is optional; it stays in this stage.
RUN { apt-get update -qq && apt-get install -qq --no-install-recommends g++ >/dev/null; } \
    || echo "WARNING: no C++ compiler to be had; the decoder will run on torch alone, slower." >&2
COPY README.md .
COPY app app
COPY model model
COPY training training
RUN pip install --quiet --no-deps --target /srv/charstream . \
    && echo "Native code: $(find /srv/charstream -name '*.so' -printf '%P ' | grep . || echo none)"

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="charstream" \
      org.opencontainers.image.description="Streams text from a character-level LSTM over HTTP" \
      org.opencontainers.image.licenses="MIT"
COPY --from=packages /opt/charstream /opt/charstream
ENV PATH=/opt/charstream/bin:$PATH
# The bytecode of what is imported, and only that: without it a start takes four times as long.
RUN python -c "import fastapi, httpx, rich.progress, torch, urllib.request, uvicorn"
# `docker stop` kills after 10 seconds: streams get 7, clients that lag behind 2 more.
ENV PYTHONPATH=/srv/charstream \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHARSTREAM_HOST=0.0.0.0 \
    CHARSTREAM_DRAIN_SECONDS=7
WORKDIR /srv/charstream
COPY --chmod=444 checkpoints/*.safetensors checkpoints/
COPY --from=build /srv/charstream .
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('CHARSTREAM_PORT', '8000') + '/health/ready', timeout=2)"]
CMD ["python", "-m", "app"]
