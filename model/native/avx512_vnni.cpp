#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_X86
#include <immintrin.h>

#include "target.h"

CHARSTREAM_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#include "avx512_vnni.h"

namespace {
constexpr int kBlock = 6;  // 24 vectors of sums, 4 of weights, an input: 29 of 32 registers
constexpr bool kRows = false;
}
#include "step.h"
CHARSTREAM_TARGET_END

static bool available() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
const Kernel kAvx512Vnni{"avx512_vnni", available, run, multiply_alone};
#else
const Kernel kAvx512Vnni{"avx512_vnni", [] { return false; }, nullptr, nullptr};
#endif
