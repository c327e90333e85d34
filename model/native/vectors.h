// Vector types of a given number of 32-bit elements, by GCC's and Clang's vector extension.
//
// Choose the width of the machine's registers. Compilers accept wider vectors and split them, but
// GCC then keeps the parts in memory.
#pragma once

#include <cstdint>

template <int width>
struct Vectors {
  typedef float Floats __attribute__((vector_size(4 * width)));
  typedef int32_t Ints __attribute__((vector_size(4 * width)));
  typedef uint8_t Bytes __attribute__((vector_size(width)));
};

// The instruction sets that this compiler can generate. Where one is missing (GCC before version 11
// has no AVX-VNNI and no AMX), only that kernel is left out. The compilers have headers for each set.
#if defined(__x86_64__)
#define CHARSTREAM_AVX2
#if __has_include(<avxvnniintrin.h>)
#define CHARSTREAM_AVX_VNNI
#endif
#if __has_include(<avx512vnniintrin.h>)
#define CHARSTREAM_AVX512_VNNI
#endif
#if __has_include(<amxint8intrin.h>) || __has_include(<amxintrin.h>)  // of GCC and of Clang
#if defined(CHARSTREAM_AVX512_VNNI) && defined(__linux__)
#define CHARSTREAM_AMX_INT8
#endif
#endif
#if __has_include(<amxbf16intrin.h>) || __has_include(<amxintrin.h>)
#if __has_include(<avx512bf16intrin.h>) && defined(__linux__)
#define CHARSTREAM_AMX_BF16
#endif
#endif
#endif
