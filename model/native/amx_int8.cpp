// AMX: one instruction multiplies 64 inputs of 16 streams with the weights of 16 outputs.
#include "kernel.h"
#include "vectors.h"

#if defined(CHARSTREAM_X86) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target.h"

CHARSTREAM_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8")
#include "avx512_vnni.h"

namespace {
constexpr int kBlock = kMostBlock, kInRegisters = 4;  // fewer streams are faster without AMX
}
#include "step.h"

namespace {

constexpr int kRow = 64;                 // bytes of a tile's row
constexpr int kGroups = kRow / kGroup;   // groups of inputs that one instruction takes
constexpr int kStride = kOutputs * kGroup;  // from a group's weights to the next one's

#define LOAD(tile, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(std::size_t(stride)) : "memory")
#define STORE(tile, to) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(std::size_t(kRow)) : "memory")
#define DOT(sums, inputs, weights) \
  asm volatile("tdpbusd %%tmm" #weights ", %%tmm" #inputs ", %%tmm" #sums ::: "memory")

// All 16 rows are computed; from B on they are of memory after the streams, and of no use.
template <int B>
void multiply_rows(Ints (&sums)[kTile][B], const int8_t* weights,
                   const uint8_t* const (&inputs)[B], int groups) {
  Ints rows[kTile][kMostBlock] = {};
  for (int t = 0; t < kTile; ++t) __builtin_memcpy(rows[t], sums[t], sizeof sums[t]);
  const std::ptrdiff_t stride = inputs[1] - inputs[0];
  LOAD(0, rows[0], kRow);
  LOAD(1, rows[1], kRow);
  LOAD(2, rows[2], kRow);
  LOAD(3, rows[3], kRow);
  int group = 0;
  for (; group + kGroups <= groups; group += kGroups, weights += kGroups * kStride) {
    LOAD(4, inputs[0] + group * kGroup, stride);
    LOAD(5, weights, kStride);
    LOAD(6, weights + kRow, kStride);
    DOT(0, 4, 5);
    LOAD(7, weights + 2 * kRow, kStride);
    DOT(1, 4, 6);
    LOAD(5, weights + 3 * kRow, kStride);
    DOT(2, 4, 7);
    DOT(3, 4, 5);
  }
  STORE(0, rows[0]);
  STORE(1, rows[1]);
  STORE(2, rows[2]);
  STORE(3, rows[3]);
  for (int t = 0; t < kTile; ++t) __builtin_memcpy(sums[t], rows[t], sizeof sums[t]);
  for (; group < groups; ++group, weights += kStride)
    for (int b = 0; b < B; ++b)
      for (int t = 0; t < kTile; ++t)
        sums[t][b] = dot(sums[t][b], broadcast(inputs[b] + group * kGroup), weights + t * kRow);
}

// All tiles have 16 rows (Intel's Software Developer's Manual, volume 1, chapter 18).
struct alignas(64) Shapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {kRow, kRow, kRow, kRow, kRow, kRow, kRow, kRow};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

template <void (*what)(const Task&)>
void with_tiles(const Task& task) {
  const Shapes shapes;
  asm volatile("ldtilecfg %0" ::"m"(shapes));
  what(task);
  asm volatile("tilerelease");
}

}  // namespace
CHARSTREAM_TARGET_END

// The processor has it, and the system lets this process use it.
static bool available() {
  constexpr unsigned kAmx = 1u << 24 | 1u << 25;              // tiles, and int8 in them
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // of arch_prctl
  unsigned a, b, c, d;
  return kAvx512Vnni.available() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         (d & kAmx) == kAmx &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
const Kernel kAmxInt8{"amx_int8", available, with_tiles<run>,
                      with_tiles<multiply_alone>};
#else
const Kernel kAmxInt8{"amx_int8", [] { return false; }, nullptr, nullptr};
#endif
