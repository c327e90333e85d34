// One instruction of AVX-512 with VNNI multiplies and adds 64 pairs of bytes.
#pragma once

namespace {

constexpr int kWidth = 16;
using Floats = Vectors<kWidth>::Floats;
using Wholes = Vectors<kWidth>::Wholes;
using Input = __m512i;
constexpr int kVectors = 4;
constexpr bool kSigned = false;

inline Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm512_set1_epi32(four);
}

inline Wholes dot(Wholes sums, Input input, const int8_t* weights) {
  return Wholes(_mm512_dpbusd_epi32(__m512i(sums), input, _mm512_load_si512(weights)));
}

}  // namespace
