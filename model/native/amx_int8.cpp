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
constexpr int kBlock = 2;  // so few streams are as fast without AMX
constexpr bool kRows = true;
}
#include "step.h"

namespace {

constexpr int kRow = 64;                    // bytes of a tile's row
constexpr int kGroups = kRow / kGroup;      // groups of inputs that one instruction takes
constexpr int kStride = kOutputs * kGroup;  // from a group's weights to the next one's

#define LOAD(tile, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(std::size_t(stride)) : "memory")
#define STORE(tile, to) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(std::size_t(kRow)) : "memory")
#define DOT(sums, inputs, weights) \
  asm volatile("tdpbusd %%tmm" #weights ", %%tmm" #inputs ", %%tmm" #sums ::: "memory")
#define CLEAR(tile) asm volatile("tilezero %%tmm" #tile ::: "memory")

// A tile's products for up to 16 streams, in pieces: the matrix unit goes on with one while the
// vector units do something else. There is one at a time.
//
// All 16 rows are computed; from the last stream's on they are of memory after it, and of no use.
class Rows {
 public:
  // Of the codes of a layer, or of two, both `width` long and a stream's after the other's.
  Rows(const int8_t* weights, int width, const uint8_t* codes, const uint8_t* more = nullptr)
      : weights_(weights), inputs_{codes, more}, width_(width), groups_(width / kGroup) {
    CLEAR(0);
    CLEAR(1);
    CLEAR(2);
    CLEAR(3);
  }

  int pieces() const { return groups_ / kGroups * (inputs_[1] ? 2 : 1); }

  // Until so many pieces are done.
  [[gnu::always_inline]] void go_on(int pieces) {
    for (; done_ < pieces; ++done_) {
      const int whole = groups_ / kGroups, second = done_ >= whole;
      const int group = (done_ - second * whole) * kGroups;
      const int8_t* weights = weights_ + (second * groups_ + group) * kStride;
      LOAD(4, inputs_[second] + group * kGroup, width_);
      LOAD(5, weights, kStride);
      LOAD(6, weights + kRow, kStride);
      DOT(0, 4, 5);
      LOAD(7, weights + 2 * kRow, kStride);
      DOT(1, 4, 6);
      LOAD(5, weights + 3 * kRow, kStride);
      DOT(2, 4, 7);
      DOT(3, 4, 5);
    }
  }

  // The sums, once all pieces are done and what is left of the inputs.
  void finish(Sums<kMostBlock>& sums, int streams) {
    go_on(pieces());
    STORE(0, sums[0]);
    STORE(1, sums[1]);
    STORE(2, sums[2]);
    STORE(3, sums[3]);
    for (int second = 0; second < 2 && inputs_[second]; ++second)
      for (int group = groups_ / kGroups * kGroups; group < groups_; ++group)
        for (int b = 0; b < streams; ++b)
          for (int t = 0; t < kTile; ++t)
            store(sums[t][b],
                  dot(load<Wholes>(sums[t][b]),
                      broadcast(inputs_[second] + b * width_ + group * kGroup),
                      weights_ + (second * groups_ + group) * kStride + t * kRow));
  }

 private:
  const int8_t* weights_;
  const uint8_t* inputs_[2];
  int width_, groups_, done_ = 0;
};

Rows rows_of(const Task& task, int layer, int tile, int first, int bank) {
  const std::size_t width = task.network.width;
  const int8_t* weights = task.network.layers[layer].weights;
  const uint8_t* own = codes(task, bank, layer, first);
  if (!layer) return {weights + tile * kOutputs * width, task.network.width, own};
  return {weights + tile * 2 * kOutputs * width, task.network.width,
          codes(task, 1 - bank, layer - 1, first), own};
}

// Calls what(tile, first stream, their number) for this part's tiles and all streams.
template <class What>
[[gnu::always_inline]] inline void of_rows(const Task& task, int layer, int bank, What what) {
  of_tiles(task, layer, bank, [&](int tile) {
    in_blocks(kMostBlock, 0, task.batch.streams,
              [&](int first, int streams) { what(tile, first, streams); });
  });
}

// The gates of each block are computed beside the products of the next.
void ByRows::step(const Task& task, int layer, int bank, const int64_t* ids) {
  const Product& product = task.network.layers[layer];
  alignas(64) Sums<kMostBlock> sums;
  Units units[2][kMostBlock];
  int tile = 0, streams = 0, now = 0;
  of_rows(task, layer, bank, [&](int next_tile, int first, int next_streams) {
    for (int b = 0; b < next_streams; ++b)
      units[1 - now][b] = units_of(task, layer, next_tile, first + b, bank, ids);
    Rows next = rows_of(task, layer, next_tile, first, bank);
    for (int b = 0; b < streams; ++b) {
      next.go_on(next.pieces() * b / streams);
      update(product, tile, units[now][b], sums[0][b], kMostBlock * kLanes);
    }
    next.finish(sums, next_streams);
    tile = next_tile, streams = next_streams, now = 1 - now;
  });
  for (int b = 0; b < streams; ++b)
    update(product, tile, units[now][b], sums[0][b], kMostBlock * kLanes);
}

void ByRows::multiply(const Task& task, int layer, int bank) {
  alignas(64) Sums<kMostBlock> sums;
  of_rows(task, layer, bank, [&](int tile, int first, int streams) {
    rows_of(task, layer, tile, first, bank).finish(sums, streams);
  });
}

void ByRows::output(const Task& task, const Logits& logits, int first, int streams, int bank) {
  const Network& network = task.network;
  const uint8_t* inputs = codes(task, bank, network.depth - 1, first);
  alignas(64) Sums<kMostBlock> sums;
  for (int tile = logits.begin; tile < logits.end; ++tile) {
    const int8_t* weights = network.output->weights + std::size_t(tile) * kOutputs * network.width;
    Rows(weights, network.width, inputs).finish(sums, streams);
    store_logits(task, logits, tile, streams, sums);
  }
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
