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

constexpr int kWidth = 4;
using Floats = Vectors<kWidth>::Floats;
using Wholes = Vectors<kWidth>::Wholes;
using Input = int8x16_t;
constexpr int kBlock = 4, kVectors = 4;  // 16 vectors of sums in 32 registers
constexpr bool kRows = false, kSigned = true;

inline Floats fused(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }

inline Input broadcast(const uint8_t* codes) {
  uint32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
}

inline Wholes dot(Wholes sums, Input input, const int8_t* weights) {
  return vdotq_s32(sums, vld1q_s8(weights), input);
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

const Kernel kNeonDot{"neon_dot", available, run, multiply_alone};
#else
const Kernel kNeonDot{"neon_dot", [] { return false; }, nullptr, nullptr};
#endif
