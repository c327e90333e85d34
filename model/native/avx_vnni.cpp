// The kernel for AVX2 with VNNI: vpdpbusd multiplies 32 pairs of bytes and adds the products in
// groups of four to 8 sums.
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_AVX_VNNI
#include <cpuid.h>
#include <immintrin.h>

CHARSTREAM_TARGET("avx2,fma,avxvnni")
#include "avx2.h"

namespace {

constexpr int kBlock = 3;  // 12 vectors of sums in 16 registers

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  return Ints(_mm256_dpbusd_avx_epi32(__m256i(sums), input, load_weights(weights)));
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

// Reads CPUID, because older compilers do not know "avxvnni" in __builtin_cpu_supports.
static bool available() {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
const Kernel kAvxVnni{"avx_vnni", available, run, multiply_layers};
#else
const Kernel kAvxVnni{"avx_vnni", [] { return false; }, nullptr, nullptr};
#endif
