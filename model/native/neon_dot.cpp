// NEON with dot products of signed bytes: four of four at a time.
#include "kernel.h"
#include "vectors.h"

// Clang knows how to compile a part for it from version 16 on.
#if defined(__ARM_FEATURE_DOTPROD) || \
    (defined(__aarch64__) && defined(__linux__) && !(defined(__clang__) && __clang_major__ < 16))
#include <arm_neon.h>

#include "target.h"

#ifdef __ARM_FEATURE_DOTPROD  // all that is compiled has it
static bool available() { return true; }
#else
#include <sys/auxv.h>

static bool available() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#endif

CHARSTREAM_TARGET("arch=armv8.2-a+dotprod")
namespace {

using Input = int8x16_t;
constexpr int kBlock = 4, kInRegisters = 4, kVectors = 1;  // 16 sums in quarters of 32 registers
constexpr bool kSigned = true;

inline Input broadcast(const uint8_t* codes) {
  uint32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  int32x4_t quarters[4];
  __builtin_memcpy(quarters, &sums, sizeof sums);
  for (int i = 0; i < 4; ++i)
    quarters[i] = vdotq_s32(quarters[i], vld1q_s8(weights + 16 * i), input);
  __builtin_memcpy(&sums, quarters, sizeof sums);
  return sums;
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

const Kernel kNeonDot{"neon_dot", available, run, multiply_alone};
#else
const Kernel kNeonDot{"neon_dot", [] { return false; }, nullptr, nullptr};
#endif
