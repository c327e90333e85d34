// Plain C++, for any processor.
#include "kernel.h"
#include "vectors.h"

namespace {

using Input = const uint8_t*;
constexpr int kBlock = 1, kInRegisters = 1, kVectors = 1;
constexpr bool kSigned = false;

inline Input broadcast(const uint8_t* codes) { return codes; }

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  int32_t lanes[kLanes];  // Clang vectorises these, and not the lanes of a vector
  __builtin_memcpy(lanes, &sums, sizeof sums);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < kGroup; ++i) lanes[lane] += input[i] * weights[lane * kGroup + i];
  __builtin_memcpy(&sums, lanes, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"

const Kernel kPlain{"plain", [] { return true; }, run, multiply_alone};
