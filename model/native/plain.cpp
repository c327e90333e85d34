// Plain C++, for any processor.
#include "kernel.h"
#include "vectors.h"

namespace {

constexpr int kWidth = 16;  // compilers make more of these than of narrower ones
using Floats = Vectors<kWidth>::Floats;
using Wholes = Vectors<kWidth>::Wholes;
using Input = const uint8_t*;
constexpr int kBlock = 1, kVectors = 1;
constexpr bool kRows = false, kSigned = false;

inline Floats fused(Floats a, Floats b, Floats c) {
  Floats sum;
  for (int i = 0; i < kWidth; ++i) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return sum;
}

inline Input broadcast(const uint8_t* codes) { return codes; }

inline Wholes dot(Wholes sums, Input input, const int8_t* weights) {
  int32_t lanes[kWidth];  // Clang vectorises these, and not the lanes of a vector
  __builtin_memcpy(lanes, &sums, sizeof sums);
  for (int lane = 0; lane < kWidth; ++lane)
    for (int i = 0; i < kGroup; ++i) lanes[lane] += input[i] * weights[lane * kGroup + i];
  __builtin_memcpy(&sums, lanes, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"

const Kernel kPlain{"plain", [] { return true; }, run, multiply_alone};
