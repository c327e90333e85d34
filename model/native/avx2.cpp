// The kernel for AVX2 without VNNI.
//
// vpmaddubsw multiplies u8 by s8 and adds pairs of products in 16 bits, with saturation (Intel's
// Software Developer's Manual, volume 2, PMADDUBSW). With weights of 8 bits, a pair can exceed 16
// bits, and the sum is then wrong. With weights of 7 bits it cannot, and the sum is exact. This is
// why all weights have 7 bits (oneDNN's developer guide, "Nuances of int8 computations").
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_AVX2
#include <immintrin.h>

CHARSTREAM_TARGET("avx2,fma")
#include "avx2.h"

namespace {

static_assert(2 * kMaxInput * kMaxWeight <= INT16_MAX);

constexpr int kBlock = 2;  // 8 vectors of sums, which leaves registers for the pairs of products

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  const __m256i pairs = _mm256_maddubs_epi16(input, load_weights(weights));
  return sums + Ints(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

static bool available() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
const Kernel kAvx2{"avx2", available, run, multiply_layers};
#else
const Kernel kAvx2{"avx2", [] { return false; }, nullptr, nullptr};
#endif
