# The service, in an image without a compiler. It runs without root and without write access.
#
#   docker build -t charstream .                                         the CPU
#   docker build -t charstream:cuda --build-arg TORCH_BACKEND=cu126 .    an NVIDIA GPU
#
# TORCH_BACKEND is "cpu" or a CUDA release ("cu126", "cu130", ...). uv installs that build from
# PyTorch's own index. "pip" installs the build from pip's default index instead, such as a mirror.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS packages
ARG TORCH_BACKEND=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CACHE=1
RUN pip install --quiet uv && python -m venv --without-pip /opt/charstream
# uv and pip install into this environment, which does not contain them.
ENV PIP_PYTHON=/opt/charstream/bin/python UV_PYTHON=/opt/charstream/bin/python
# Torch gets its own layer, because it is by far the largest download. The removed files are needed
# only to compile extensions of torch, and to test torch's requirements.
RUN set -e; \
    torch="torch>=2.6"; \
    if [ "$TORCH_BACKEND" = pip ]; then \
      pip install --quiet --no-compile "$torch"; \
    elif uv pip install --torch-backend "$TORCH_BACKEND" "$torch"; then \
      :; \
    elif [ "$TORCH_BACKEND" = cpu ]; then \
      echo "WARNING: PyTorch's own index cannot be reached. Installing the build from pip's index," >&2; \
      echo "WARNING: which also works, but may be a build for GPUs, gigabytes larger." >&2; \
      pip install --quiet --no-compile "$torch"; \
    else \
      echo "ERROR: torch for $TORCH_BACKEND cannot be installed; check TORCH_BACKEND" >&2; \
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
# The compiler for the optional native kernels. It is not copied into the final image.
RUN { apt-get update -qq && apt-get install -qq --no-install-recommends g++ >/dev/null; } \
    || echo "WARNING: no C++ compiler can be installed. Torch will compute the steps, slower." >&2
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
# Write the bytecode of the imported modules only. Without it, startup takes four times as long.
RUN python -c "import fastapi, httpx, rich.progress, torch, urllib.request, uvicorn"
# `docker stop` kills the process after 10 seconds. Streams get 7 seconds to finish, and slow clients
# 2 more.
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
