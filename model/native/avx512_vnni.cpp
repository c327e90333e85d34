// The kernel for AVX-512 with VNNI.
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_AVX512_VNNI
#include <immintrin.h>

CHARSTREAM_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#include "avx512_vnni.h"

namespace {
// 24 vectors of sums, 4 of weights and one input take 29 of the 32 registers.
constexpr int kBlock = 6;
constexpr bool kHasWideBlock = false;
}
#include "step.h"
CHARSTREAM_TARGET_END

static bool available() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
const Kernel kAvx512Vnni{"avx512_vnni", available, run, multiply_layers};
#else
const Kernel kAvx512Vnni{"avx512_vnni", [] { return false; }, nullptr, nullptr};
#endif
