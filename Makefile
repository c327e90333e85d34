# Each target does all of its set-up. The machine needs only Python >= 3.11 and make.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
PY := .venv/bin/python
TEXT ?= data/anna.txt
OUT ?= runs/anna

.PHONY: setup serve test check audit format lock train bench gpu-check sanitize \
	sanitize-threads sanitize-memory clean

setup: .venv/ready

# The native kernels are compiled at installation, so a change of their sources reinstalls.
SOURCES := pyproject.toml $(wildcard model/native/*.cpp model/native/*.h)

# All packages, for development and tests. They include the packages that serving needs.
.venv/ready: install.py $(SOURCES)
	$(call install,dev)
	@touch $@ .venv/serving

.venv/serving: install.py $(SOURCES)
	$(call install,serve)
	@touch $@

define install
	@test -n "$(PYTHON)" || { echo "charstream needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) install.py $(1)
endef

serve: .venv/serving
	$(PY) -m app

# Three test processes, because many tests wait. Each has one torch thread: torch's threads spin, and
# would slow the other processes down.
test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 3 --dist worksteal

check: setup audit
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

audit: setup
	$(PY) .ci/audit.py

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The versions and hashes of the container image's packages.
lock: setup
	$(PY) -m pip install --quiet uv
	$(PY) .ci/lock.py

train: setup
	@test -e "$(TEXT)" || test "$(TEXT)" != data/anna.txt || $(PY) -m training corpus anna --out "$(TEXT)"
	$(PY) -m training train --text "$(TEXT)" --out "$(OUT)"

bench: setup
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[bench]"
	$(PY) -m benchmarks

# Every CUDA test and the speed on an NVIDIA GPU, in one table. The first line only spares machines
# that have no GPU the installation; the program asks torch.
gpu-check:
	@ls /dev/nvidia[0-9]* /dev/dxg 2>/dev/null | grep -q . || command -v nvidia-smi >/dev/null || \
	{ echo "gpu-check: this machine has no NVIDIA GPU: no device /dev/nvidia0, no nvidia-smi" >&2; exit 1; }
	@$(MAKE) --no-print-directory setup
	@$(PY) -m benchmarks.gpu_check

# Tests of the native kernels under GCC's sanitizers, on Linux. They find out-of-bounds accesses,
# undefined behavior and data races. With -j2, both parts run at the same time.
SANITIZED := build/sanitized
ROUNDS ?= 30
SANITIZED_TESTS ?= native choice patterns/test_pattern.py decoding/test_decoder.py decoding/test_thread_count.py pytorch/test_native_lstm.py
sanitize: sanitize-threads sanitize-memory

sanitize-threads: setup
	mkdir -p build
	g++ -std=c++20 -O1 -g -fsanitize=thread -ffp-contract=off -Wno-psabi -pthread \
	-o build/compare_kernels tests/model/native/compare_kernels.cpp model/native/*.cpp
	build/compare_kernels $(ROUNDS)
	g++ -std=c++20 -O1 -g -fsanitize=thread -ffp-contract=off -Wno-psabi -pthread \
	-o build/compare_training tests/model/native/compare_training.cpp model/native/training.cpp \
	model/native/amx_bf16.cpp
	build/compare_training $(ROUNDS)

sanitize-memory: setup
	rm -rf $(SANITIZED)
	mkdir -p $(SANITIZED)
	cp -r app model training tests checkpoints pyproject.toml README.md $(SANITIZED)
	rm -f $(SANITIZED)/model/*.so
	cd $(SANITIZED) && \
	CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" \
	$(CURDIR)/$(PY) -c "import setuptools; setuptools.setup()" --quiet build_ext --inplace
	cd $(SANITIZED) && PYTHONPATH=. OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	$(CURDIR)/$(PY) -m pytest -q $(addprefix tests/model/,$(SANITIZED_TESTS))

clean:
	rm -rf .venv build *.egg-info clients/build clients/*.egg-info model/*.so
