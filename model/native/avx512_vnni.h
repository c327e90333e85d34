// AVX-512 with VNNI: one instruction, vpdpbusd, multiplies 64 pairs of bytes and adds the products
// in groups of four to 16 sums.
#pragma once

namespace {

constexpr int kVectorWidth = 16;
using Floats = Vectors<kVectorWidth>::Floats;
using Ints = Vectors<kVectorWidth>::Ints;
using Input = __m512i;
constexpr int kSumVectors = 4;
constexpr bool kSignedInputs = false;

inline Floats fused_multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm512_set1_epi32(four);
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  return Ints(_mm512_dpbusd_epi32(__m512i(sums), input, _mm512_load_si512(weights)));
}

}  // namespace
