// Vectors of so many 32-bit numbers, to be as wide as the machine's: compilers split wider ones, but
// keep the parts in memory.
#pragma once

#include <cstdint>

template <int width>
struct Vectors {
  typedef float Floats __attribute__((vector_size(4 * width)));
  typedef int32_t Wholes __attribute__((vector_size(4 * width)));
  typedef uint8_t Bytes __attribute__((vector_size(width)));
};

#if defined(__x86_64__)
#define CHARSTREAM_X86
#endif
