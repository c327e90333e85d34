// The kernel for ARM NEON with dot products: sdot multiplies 16 pairs of signed bytes and adds the
// products in groups of four to 4 sums.
#include "kernel.h"
#include "vectors.h"

// Clang can compile a part of a file for another ARM instruction set only from version 16 on.
#if defined(__ARM_FEATURE_DOTPROD) || \
    (defined(__aarch64__) && defined(__linux__) && !(defined(__clang__) && __clang_major__ < 16))
#include <arm_neon.h>

#ifdef __ARM_FEATURE_DOTPROD  // the whole program is compiled for processors with dot products
static bool available() { return true; }
#else
#include <sys/auxv.h>

static bool available() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#endif

CHARSTREAM_TARGET("arch=armv8.2-a+dotprod")
namespace {

constexpr int kVectorWidth = 4;
using Floats = Vectors<kVectorWidth>::Floats;
using Ints = Vectors<kVectorWidth>::Ints;
using Input = int8x16_t;
constexpr int kBlock = 4, kSumVectors = 4;  // 16 vectors of sums in 32 registers
constexpr bool kHasWideBlock = false, kSignedInputs = true;

inline Floats fused_multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }

// To flip the top bit of a code subtracts 128 from it.
inline Input broadcast(const uint8_t* codes) {
  uint32_t four;
  __builtin_memcpy(&four, codes, sizeof four);
  return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
}

inline Ints dot(Ints sums, Input input, const int8_t* weights) {
  return vdotq_s32(sums, vld1q_s8(weights), input);
}

}  // namespace
#include "step.h"
CHARSTREAM_TARGET_END

const Kernel kNeonDot{"neon_dot", available, run, multiply_layers};
#else
const Kernel kNeonDot{"neon_dot", [] { return false; }, nullptr, nullptr};
#endif
