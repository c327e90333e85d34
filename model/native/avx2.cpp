// AVX2: pairs of products are added in 16 bits, which weights of 7 bits do not overflow.
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_X86
#include <immintrin.h>

#include "target.h"

CHARSTREAM_TARGET("avx2")
namespace {

using Input = __m256i;
constexpr int kBlock = 2, kInRegisters = 2, kVectors = 2;  // 8 halves of sums, and room
constexpr bool kSigned = false;

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i dot(__m256i sums, Input input, const __m256i* weights) {
  const __m256i pairs = _mm256_maddubs_epi16(input, _mm256_load_si256(weights));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  __m256i halves[2];
  __builtin_memcpy(halves, &sums, sizeof sums);
  const auto* both = reinterpret_cast<const __m256i*>(weights);
  halves[0] = dot(halves[0], input, both);
  halves[1] = dot(halves[1], input, both + 1);
  __builtin_memcpy(&sums, halves, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

static bool available() { return __builtin_cpu_supports("avx2"); }
const Kernel kAvx2{"avx2", available, run, multiply_alone};
#else
const Kernel kAvx2{"avx2", [] { return false; }, nullptr, nullptr};
#endif
