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

#if defined(__x86_64__)
#define CHARSTREAM_X86
#endif
