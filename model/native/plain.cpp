// The kernel in plain C++, for any processor. The tests compare the other kernels with it.
#include "kernel.h"
#include "vectors.h"

namespace {

constexpr int kVectorWidth = 16;  // compilers generate better code for 16 than for fewer
using Floats = Vectors<kVectorWidth>::Floats;
using Ints = Vectors<kVectorWidth>::Ints;
using Input = const uint8_t*;
constexpr int kBlock = 1, kSumVectors = 1;
constexpr bool kHasWideBlock = false, kSignedInputs = false;

inline Floats fused_multiply_add(Floats a, Floats b, Floats c) {
  Floats sum;
  for (int i = 0; i < kVectorWidth; ++i) sum[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return sum;
}

inline Input broadcast(const uint8_t* codes) { return codes; }

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  int32_t lanes[kVectorWidth];  // Clang vectorizes a loop over an array, but not over a vector
  int8_t factors[kVectorWidth * kGroupInputs];  // a copy, of which a sanitizer checks one read
  __builtin_memcpy(lanes, &sums, sizeof sums);
  __builtin_memcpy(factors, weights, sizeof factors);
  for (int lane = 0; lane < kVectorWidth; ++lane)
    for (int i = 0; i < kGroupInputs; ++i)
      lanes[lane] += input[i] * factors[lane * kGroupInputs + i];
  __builtin_memcpy(&sums, lanes, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"

const Kernel kPlain{"plain", [] { return true; }, run, multiply_layers};
