// What AVX2 is with and without VNNI.
#pragma once

namespace {

constexpr int kWidth = 8;
using Floats = Vectors<kWidth>::Floats;
using Wholes = Vectors<kWidth>::Wholes;
using Input = __m256i;
constexpr int kVectors = 4;
constexpr bool kRows = false, kSigned = false;

inline Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i load_weights(const int8_t* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

}  // namespace
