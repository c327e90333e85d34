// AVX2: pairs of products are added in 16 bits, which weights of 7 bits do not overflow.
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_X86
#include <immintrin.h>

#include "target.h"

CHARSTREAM_TARGET("avx2,fma")
#include "avx2.h"

namespace {

constexpr int kBlock = 2;  // 8 vectors of sums, and room

inline Wholes dot(Wholes sums, Input input, const int8_t* weights) {
  const __m256i pairs = _mm256_maddubs_epi16(input, load_weights(weights));
  return sums + Wholes(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

static bool available() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
const Kernel kAvx2{"avx2", available, run, multiply_alone};
#else
const Kernel kAvx2{"avx2", [] { return false; }, nullptr, nullptr};
#endif
