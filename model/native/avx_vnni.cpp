// AVX2 with VNNI: one instruction multiplies and adds 32 pairs of bytes.
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_X86
#include <cpuid.h>
#include <immintrin.h>

#include "target.h"

CHARSTREAM_TARGET("avx2,avxvnni")
namespace {

using Input = __m256i;
constexpr int kBlock = 3, kInRegisters = 3, kVectors = 2;  // 12 sums in halves of 16 registers
constexpr bool kSigned = false;

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  __m256i halves[2];
  __builtin_memcpy(halves, &sums, sizeof sums);
  const auto* both = reinterpret_cast<const __m256i*>(weights);
  halves[0] = _mm256_dpbusd_avx_epi32(halves[0], input, _mm256_load_si256(both));
  halves[1] = _mm256_dpbusd_avx_epi32(halves[1], input, _mm256_load_si256(both + 1));
  __builtin_memcpy(&sums, halves, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

// Compilers' names for this one came late, so the processor is asked itself.
static bool available() {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
const Kernel kAvxVnni{"avx_vnni", available, run, multiply_alone};
#else
const Kernel kAvxVnni{"avx_vnni", [] { return false; }, nullptr, nullptr};
#endif
