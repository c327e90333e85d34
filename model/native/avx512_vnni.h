// One instruction of AVX-512 with VNNI multiplies and adds 64 pairs of bytes.
#pragma once

namespace {

using Input = __m512i;
constexpr int kVectors = 4;
constexpr bool kSigned = false;

inline Input broadcast(const uint8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return _mm512_set1_epi32(four);
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  return Ints(_mm512_dpbusd_epi32(__m512i(sums), input, _mm512_load_si512(weights)));
}

}  // namespace
