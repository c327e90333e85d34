// 16 lanes, on every instruction set: compilers split what is wider than the machine's.
#pragma once

#include <cstdint>

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint8_t Bytes __attribute__((vector_size(16)));

#if defined(__x86_64__)
#define CHARSTREAM_X86
#endif
