// Plain C++, for any processor.
#include "kernel.h"
#include "vectors.h"

namespace {

using Input = const uint8_t*;
constexpr int kBlock = 1, kInRegisters = 1, kVectors = 1;
constexpr bool kSigned = false;

inline Input broadcast(const uint8_t* codes) { return codes; }

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < kGroup; ++i) sums[lane] += input[i] * weights[lane * kGroup + i];
  return sums;
}

}  // namespace
#include "step.h"

const Kernel kPlain{"plain", [] { return true; }, run, multiply_alone};
