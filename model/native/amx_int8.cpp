// The kernel for AMX: one instruction, tdpbusd, multiplies 64 inputs of 16 streams with the weights
// of 16 outputs.
//
// Two kinds of tiles meet here. A tile of the layout is 64 outputs, as everywhere. A tile register
// is a matrix in the processor: 16 rows of 64 bytes (Intel's Software Developer's Manual, volume 1,
// chapter 18).
#include "kernel.h"
#include "vectors.h"

#ifdef CHARSTREAM_AMX_INT8
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target.h"

CHARSTREAM_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8")
#include "avx512_vnni.h"

namespace {
constexpr int kBlock = 2;  // up to two streams, AVX-512 VNNI is as fast as AMX
constexpr bool kHasWideBlock = true;
}
#include "step.h"

namespace {

constexpr int kRegisterRows = 16;
constexpr int kRegisterRowBytes = 64;
constexpr int kChunkGroups = kRegisterRowBytes / kGroupInputs;  // groups that tdpbusd multiplies

static_assert(kMaxBlock == kRegisterRows, "a row of inputs per stream");
static_assert(kTileVectors == 4, "four registers of sums");
static_assert(kLanes * sizeof(int32_t) == kRegisterRowBytes, "a row of sums is a layout vector");
static_assert(kChunkGroups == kRegisterRows, "a row of weights per group");

// Macros, because the number of a tile register is part of the instruction.
#define LOAD_TILE(tile, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(std::size_t(stride)) : "memory")
#define STORE_TILE(tile, to)                                                \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to),            \
               "r"(std::size_t(kRegisterRowBytes)) : "memory")
#define MULTIPLY_TILES(sums, inputs, weights) \
  asm volatile("tdpbusd %%tmm" #weights ", %%tmm" #inputs ", %%tmm" #sums ::: "memory")
#define CLEAR_TILE(tile) asm volatile("tilezero %%tmm" #tile ::: "memory")

// The product of a layout tile with the inputs of up to 16 streams.
//
// It is computed in chunks of 64 inputs, so that the matrix unit can work on a chunk while the
// vector units do something else. The sums are in tile registers, so only one TileProduct may be in
// progress at a time.
//
// All 16 rows are computed. The rows after the last stream hold other streams' values or padding,
// and their sums are ignored.
class TileProduct {
 public:
  // `codes` and `more_codes` are the hidden values of one or two layers: `width` values per stream,
  // one stream after the other.
  TileProduct(const int8_t* weights, int width, const uint8_t* codes,
              const uint8_t* more_codes = nullptr)
      : weights_(weights),
        inputs_{codes, more_codes},
        width_(width),
        groups_(width / kGroupInputs) {
    CLEAR_TILE(0);
    CLEAR_TILE(1);
    CLEAR_TILE(2);
    CLEAR_TILE(3);
  }

  int chunks() const { return groups_ / kChunkGroups * (inputs_[1] ? 2 : 1); }

  // Continues until `chunks` chunks are done.
  [[gnu::always_inline]] void advance_to(int chunks) {
    for (; done_ < chunks; ++done_) {
      const int layer_chunks = groups_ / kChunkGroups, second = done_ >= layer_chunks;
      const int group = (done_ - second * layer_chunks) * kChunkGroups;
      const int8_t* weights = weights_ + (second * groups_ + group) * kGroupBytes;
      LOAD_TILE(4, inputs_[second] + group * kGroupInputs, width_);
      LOAD_TILE(5, weights, kGroupBytes);
      LOAD_TILE(6, weights + kRegisterRowBytes, kGroupBytes);
      MULTIPLY_TILES(0, 4, 5);
      LOAD_TILE(7, weights + 2 * kRegisterRowBytes, kGroupBytes);
      MULTIPLY_TILES(1, 4, 6);
      LOAD_TILE(5, weights + 3 * kRegisterRowBytes, kGroupBytes);
      MULTIPLY_TILES(2, 4, 7);
      MULTIPLY_TILES(3, 4, 5);
    }
  }

  // Finishes all chunks, and writes the sums. Inputs that do not fill a chunk are added by AVX-512.
  void finish(Sums<kMaxBlock>& sums, int streams) {
    advance_to(chunks());
    STORE_TILE(0, sums[0]);
    STORE_TILE(1, sums[1]);
    STORE_TILE(2, sums[2]);
    STORE_TILE(3, sums[3]);
    for (int second = 0; second < 2 && inputs_[second]; ++second)
      for (int group = groups_ / kChunkGroups * kChunkGroups; group < groups_; ++group)
        for (int b = 0; b < streams; ++b)
          for (int t = 0; t < kTileVectors; ++t)
            store(sums[t][b],
                  dot(load<Ints>(sums[t][b]),
                      broadcast(inputs_[second] + b * width_ + group * kGroupInputs),
                      weights_ + (second * groups_ + group) * kGroupBytes + t * kRegisterRowBytes));
  }

 private:
  const int8_t* weights_;
  const uint8_t* inputs_[2];
  int width_, groups_, done_ = 0;
};

// Starts the product of a layer's tile for the streams from `first_stream` on.
TileProduct start_gates(const Task& task, int layer, int tile, int first_stream, int bank) {
  const std::size_t width = task.network.width;
  const int8_t* weights = task.network.layers[layer].weights;
  const uint8_t* own = hidden_codes(task, bank, layer, first_stream);
  if (!layer) return {weights + tile * kTileOutputs * width, task.network.width, own};
  return {weights + tile * 2 * kTileOutputs * width, task.network.width,
          hidden_codes(task, 1 - bank, layer - 1, first_stream), own};
}

// Calls visit(tile, first stream, number of streams) for this thread's tiles and all streams.
template <class Visit>
[[gnu::always_inline]] inline void for_each_tile_and_wide_block(const Task& task, int layer,
                                                                int bank, Visit visit) {
  for_each_tile(task, layer, bank, [&](int tile) {
    for_each_block(kMaxBlock, 0, task.batch.streams, [&](int first_stream, int streams) {
      visit(tile, first_stream, streams);
    });
  });
}

// Software pipeline: the vector units compute the gates of one block while the matrix unit computes
// the products of the next. Between two streams' gates, the code issues the next few chunks.
void WideBlock::step_layer(const Task& task, int layer, Step step) {
  alignas(64) Sums<kMaxBlock> sums;
  UnitPointers units[2][kMaxBlock];
  int tile = 0, streams = 0, current = 0;
  for_each_tile_and_wide_block(
      task, layer, step.bank, [&](int next_tile, int first_stream, int next_streams) {
        for (int b = 0; b < next_streams; ++b)
          units[1 - current][b] = locate_units(task, layer, next_tile, first_stream + b, step);
        TileProduct next = start_gates(task, layer, next_tile, first_stream, step.bank);
        for (int b = 0; b < streams; ++b) {
          next.advance_to(next.chunks() * b / streams);
          update_units(task, layer, tile, units[current][b], sums[0][b], kMaxBlock * kLanes);
        }
        next.finish(sums, next_streams);
        tile = next_tile, streams = next_streams, current = 1 - current;
      });
  for (int b = 0; b < streams; ++b)
    update_units(task, layer, tile, units[current][b], sums[0][b], kMaxBlock * kLanes);
}

void WideBlock::multiply_layer(const Task& task, int layer, int bank) {
  alignas(64) Sums<kMaxBlock> sums;
  for_each_tile_and_wide_block(
      task, layer, bank, [&](int tile, int first_stream, int streams) {
        start_gates(task, layer, tile, first_stream, bank).finish(sums, streams);
      });
}

void WideBlock::compute_logits(const Task& task, const LogitRange& range, int first_stream,
                               int streams, int bank) {
  const Network& network = task.network;
  const uint8_t* inputs = hidden_codes(task, bank, network.depth - 1, first_stream);
  alignas(64) Sums<kMaxBlock> sums;
  for (int tile = range.first_tile; tile < range.end_tile; ++tile) {
    const int8_t* weights =
        network.output->weights + std::size_t(tile) * kTileOutputs * network.width;
    TileProduct(weights, network.width, inputs).finish(sums, streams);
    store_logits(task, range, tile, streams, sums);
  }
}

// The operand of ldtilecfg: all eight tile registers have 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {kRegisterRowBytes, kRegisterRowBytes, kRegisterRowBytes,
                            kRegisterRowBytes, kRegisterRowBytes, kRegisterRowBytes,
                            kRegisterRowBytes, kRegisterRowBytes};
  uint8_t rows[16] = {kRegisterRows, kRegisterRows, kRegisterRows, kRegisterRows,
                      kRegisterRows, kRegisterRows, kRegisterRows, kRegisterRows};
};
static_assert(sizeof(TileConfig) == 64);

template <void (*work)(Task&)>
void with_tile_registers(Task& task) {
  const TileConfig config;
  asm volatile("ldtilecfg %0" ::"m"(config));
  work(task);
  asm volatile("tilerelease");
}

}  // namespace
CHARSTREAM_TARGET_END

// Whether the processor has AMX, and Linux lets this process use it. A process has to ask for the
// tile registers (Documentation/arch/x86/xstate.rst of Linux).
static bool available() {
  constexpr unsigned kAmx = 1u << 24 | 1u << 25;              // CPUID 7.0 EDX: AMX-TILE, AMX-INT8
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, its argument
  unsigned a, b, c, d;
  return kAvx512Vnni.available() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         (d & kAmx) == kAmx &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
const Kernel kAmxInt8{"amx_int8", available, with_tile_registers<run>,
                      with_tile_registers<multiply_layers>};
#else
const Kernel kAmxInt8{"amx_int8", [] { return false; }, nullptr, nullptr};
#endif
