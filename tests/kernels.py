"""The native kernels that run on this machine, and the mark of tests that need one."""

from __future__ import annotations

import pytest

from model.native import library as native_library

KERNELS = native_library.kernels()
needs_kernel = pytest.mark.skipif(not KERNELS, reason="the native kernel is not compiled here")
