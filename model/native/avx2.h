// What the AVX2 kernels with and without VNNI have in common.
#pragma once

namespace {

constexpr int kVectorWidth = 8;
using Floats = Vectors<kVectorWidth>::Floats;
using Ints = Vectors<kVectorWidth>::Ints;
using Input = __m256i;
constexpr int kSumVectors = 4;
constexpr bool kHasWideBlock = false, kSignedInputs = false;

inline Floats fused_multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i load_weights(const int8_t* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

}  // namespace
