// Vector types, the instruction sets that the compiler knows, and code for another instruction set.
#pragma once

#include <cstdint>

// Vectors of a given number of 32-bit elements, by GCC's and Clang's vector extension. Choose the
// width of the machine's registers. Compilers accept wider vectors and split them, but GCC then keeps
// the parts in memory.
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

// Macros that compile the functions between them for another instruction set than the rest of the
// program. So the library is built with one set of flags, and chooses a kernel at run time.
#define CHARSTREAM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define CHARSTREAM_TARGET(set)                                                       \
  CHARSTREAM_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define CHARSTREAM_TARGET_END CHARSTREAM_PRAGMA(clang attribute pop)
#else
#define CHARSTREAM_TARGET(set) \
  CHARSTREAM_PRAGMA(GCC push_options) CHARSTREAM_PRAGMA(GCC target(set))
#define CHARSTREAM_TARGET_END CHARSTREAM_PRAGMA(GCC pop_options)
#endif
