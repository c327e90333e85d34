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

// The streams whose products are computed together: one or two tile registers of inputs.
constexpr int kMaxRows = 2 * kRegisterRows;

// The sums of one or two blocks of streams: [block][gate][stream of the block][unit].
using BlockSums = Sums<kMaxBlock>[2];

inline int32_t* stream_sums(BlockSums& sums, int stream) {
  return sums[stream / kMaxBlock][0][stream % kMaxBlock];
}

// Fetches weights into the L2 cache, in equal parts while a product is computed.
class Prefetch {
 public:
  Prefetch() = default;
  Prefetch(const int8_t* weights, std::size_t bytes, int rounds)
      : next_(weights), pairs_(int(bytes / kPairBytes) / rounds) {}

  // Called once per round.
  [[gnu::always_inline]] void advance() {
    const int8_t* pair = next_;
    next_ += std::size_t(pairs_) * kPairBytes;
    for (; pair < next_; pair += kPairBytes) __builtin_prefetch(pair, 0, 2);  // prefetcht1
  }

 private:
  // The processor fetches the other line of an aligned pair by itself.
  static constexpr int kPairBytes = 128;

  const int8_t* next_ = nullptr;
  int pairs_ = 0;  // per round
};

// The product of a layout tile with the inputs of up to 32 streams.
//
// It is computed in rounds of four multiplications, so that the matrix unit can work on a round
// while the vector units do something else. The sums are in tile registers, so only one TileProduct
// may be in progress at a time.
//
// With up to 16 streams, a round multiplies a chunk of 64 inputs with the weights of four vectors
// of outputs. With more, it multiplies two tile registers of inputs with the weights of two
// vectors, and a second pass over the chunks computes the other two vectors. So each weight is
// loaded once for all streams.
//
// All 16 rows of a tile register are computed. The rows after the last stream hold other streams'
// values or padding, and their sums are ignored.
class TileProduct {
 public:
  // `codes` and `more_codes` are the hidden values of one or two layers: `width` values per stream,
  // one stream after the other.
  TileProduct(const int8_t* weights, int width, const uint8_t* codes, const uint8_t* more_codes,
              int streams, BlockSums& sums)
      : weights_(weights),
        inputs_{codes, more_codes},
        sums_(sums),
        width_(width),
        groups_(width / kGroupInputs),
        chunks_(groups_ / kChunkGroups * (more_codes ? 2 : 1)),
        streams_(streams) {
    clear();
  }

  int rounds() const { return is_pair() ? 2 * chunks_ : chunks_; }

  void fetch_meanwhile(const Prefetch& prefetch) { prefetch_ = prefetch; }

  // Continues until `rounds` rounds are done.
  [[gnu::always_inline]] void advance_to(int rounds) {
    if (is_pair())
      for (; done_ < rounds; ++done_) multiply_pair();
    else
      for (; done_ < rounds; ++done_) multiply_block();
  }

  // Finishes all rounds, and writes the sums. Inputs that do not fill a chunk are added by AVX-512.
  void finish() {
    advance_to(rounds());
    if (is_pair()) {
      if (!chunks_) store_pair(0);  // there were no passes
      store_pair(2);
    } else {
      store_block();
    }
    for (int second = 0; second < 2 && inputs_[second]; ++second)
      for (int group = groups_ / kChunkGroups * kChunkGroups; group < groups_; ++group)
        for (int b = 0; b < streams_; ++b) add_group(second, group, b);
  }

 private:
  struct Chunk {
    const uint8_t* inputs;
    const int8_t* weights;
  };

  bool is_pair() const { return streams_ > kMaxBlock; }

  Chunk chunk_at(int chunk) const {
    const int layer_chunks = groups_ / kChunkGroups, second = chunk >= layer_chunks;
    const int group = (chunk - second * layer_chunks) * kChunkGroups;
    return {inputs_[second] + group * kGroupInputs,
            weights_ + (second * groups_ + group) * kGroupBytes};
  }

  [[gnu::always_inline]] void multiply_block() {
    prefetch_.advance();
    const Chunk chunk = chunk_at(done_);
    LOAD_TILE(4, chunk.inputs, width_);
    LOAD_TILE(5, chunk.weights, kGroupBytes);
    LOAD_TILE(6, chunk.weights + kRegisterRowBytes, kGroupBytes);
    MULTIPLY_TILES(0, 4, 5);
    LOAD_TILE(7, chunk.weights + 2 * kRegisterRowBytes, kGroupBytes);
    MULTIPLY_TILES(1, 4, 6);
    LOAD_TILE(5, chunk.weights + 3 * kRegisterRowBytes, kGroupBytes);
    MULTIPLY_TILES(2, 4, 7);
    MULTIPLY_TILES(3, 4, 5);
  }

  [[gnu::always_inline]] void multiply_pair() {
    prefetch_.advance();
    const bool is_second_pass = done_ >= chunks_;
    if (done_ == chunks_) {
      store_pair(0);
      clear();
    }
    const Chunk chunk = chunk_at(done_ - is_second_pass * chunks_);
    const int8_t* weights = chunk.weights + is_second_pass * 2 * kRegisterRowBytes;
    LOAD_TILE(4, chunk.inputs, width_);
    LOAD_TILE(6, weights, kGroupBytes);
    LOAD_TILE(5, chunk.inputs + kRegisterRows * width_, width_);
    MULTIPLY_TILES(0, 4, 6);
    LOAD_TILE(7, weights + kRegisterRowBytes, kGroupBytes);
    MULTIPLY_TILES(1, 5, 6);
    MULTIPLY_TILES(2, 4, 7);
    MULTIPLY_TILES(3, 5, 7);
  }

  void store_block() {
    STORE_TILE(0, sums_[0][0]);
    STORE_TILE(1, sums_[0][1]);
    STORE_TILE(2, sums_[0][2]);
    STORE_TILE(3, sums_[0][3]);
  }

  // Writes the sums of a pass, which are those of two vectors of outputs.
  void store_pair(int vector) {
    STORE_TILE(0, sums_[0][vector]);
    STORE_TILE(1, sums_[1][vector]);
    STORE_TILE(2, sums_[0][vector + 1]);
    STORE_TILE(3, sums_[1][vector + 1]);
  }

  // Adds the products of one group of a stream's inputs.
  void add_group(int second, int group, int stream) {
    const Input input = broadcast(inputs_[second] + stream * width_ + group * kGroupInputs);
    const int8_t* weights = weights_ + (second * groups_ + group) * kGroupBytes;
    for (int t = 0; t < kTileVectors; ++t) {
      int32_t* own = stream_sums(sums_, stream) + t * kMaxBlock * kLanes;
      store(own, dot(load<Ints>(own), input, weights + t * kRegisterRowBytes));
    }
  }

  static void clear() {
    CLEAR_TILE(0);
    CLEAR_TILE(1);
    CLEAR_TILE(2);
    CLEAR_TILE(3);
  }

  const int8_t* weights_;
  const uint8_t* inputs_[2];
  BlockSums& sums_;
  int width_, groups_, chunks_, streams_, done_ = 0;
  Prefetch prefetch_;
};

// Processors with AMX have an L2 cache of at least 2 MiB per core.
constexpr std::size_t kCacheBytes = std::size_t{1} << 21;

// Bytes of the weights of a layer's tile.
std::size_t tile_bytes(const Network& network, int layer) {
  return std::size_t(layer ? 2 : 1) * kTileOutputs * network.width;
}

const int8_t* tile_weights(const Network& network, int layer, int tile) {
  return network.layers[layer].weights + tile * tile_bytes(network, layer);
}

// Whether to fetch weights before they are used: if this thread's part of them exceeds its cache.
// With one block of streams it did not help, because there is too little to compute meanwhile.
bool fetches_weights(const Task& task) {
  if (task.batch.streams <= kMaxBlock) return false;
  std::size_t bytes = 0;
  for (int layer = 0; layer < task.network.depth; ++layer)
    bytes += task.network.layers[layer].tiles * tile_bytes(task.network, layer);
  return bytes > kCacheBytes * task.threads;
}

// The part of the tile that this thread reads after `tile` (see for_each_tile) that is to be
// fetched while `tile` is computed for some of the streams.
Prefetch fetch_next_tile(const Task& task, int layer, int tile, int first_stream, int streams,
                         int bank, int rounds) {
  const int tiles = task.network.layers[layer].tiles;
  const int first = first_of_thread(task, tiles, task.thread);
  const int last = first_of_thread(task, tiles, task.thread + 1) - 1;
  if (tile != (bank ? first : last)) {
    tile += bank ? -1 : 1;
  } else {  // the next layer, or the first layer in the next step, which goes the other way
    if (++layer == task.network.depth) layer = 0, bank = 1 - bank;
    tile = bank ? last : first;
  }
  const std::size_t bytes = tile_bytes(task.network, layer);
  const std::size_t before = bytes * first_stream / task.batch.streams / kRegisterRowBytes;
  return {tile_weights(task.network, layer, tile) + before * kRegisterRowBytes,
          bytes * streams / task.batch.streams, rounds};
}

// Starts the product of a layer's tile for some streams.
TileProduct start_gates(const Task& task, int layer, int tile, int first_stream, int streams,
                        int bank, bool fetches, BlockSums& sums) {
  const uint8_t* own = hidden_codes(task, bank, layer, first_stream);
  const uint8_t* below =
      layer ? hidden_codes(task, 1 - bank, layer - 1, first_stream) : nullptr;
  TileProduct product(tile_weights(task.network, layer, tile), task.network.width,
                      layer ? below : own, layer ? own : nullptr, streams, sums);
  if (fetches)
    product.fetch_meanwhile(fetch_next_tile(task, layer, tile, first_stream, streams, bank,
                                            product.rounds()));
  return product;
}

// Calls visit(tile, first stream, number of streams) for this thread's tiles and all streams.
template <class Visit>
[[gnu::always_inline]] inline void for_each_tile_and_wide_block(const Task& task, int layer,
                                                                int bank, Visit visit) {
  const int all_blocks = (task.batch.streams + kMaxBlock - 1) / kMaxBlock;
  const int together = all_blocks == 3 ? 1 : 2;  // a pair and a half of it would overlap badly
  for_each_tile(task, layer, bank, [&](int tile) {
    int first = 0, left = task.batch.streams;
    for (int blocks = all_blocks; blocks > 0; blocks -= together) {
      const int streams = blocks > together ? (together * left + blocks - 1) / blocks : left;
      visit(tile, first, streams);
      first += streams, left -= streams;
    }
  });
}

// Software pipeline: the vector units compute the gates of some streams while the matrix unit
// computes the products of the next. Between two streams' gates, the code issues the next few
// rounds.
void WideBlock::step_layer(const Task& task, int layer, Step step) {
  alignas(64) BlockSums sums[2];
  UnitPointers units[2][kMaxRows];
  const bool fetches = fetches_weights(task);
  int tile = 0, streams = 0, current = 0;
  const auto update = [&](int b) {
    update_units(task, layer, tile, units[current][b], stream_sums(sums[current], b),
                 kMaxBlock * kLanes);
  };
  for_each_tile_and_wide_block(
      task, layer, step.bank, [&](int next_tile, int first_stream, int next_streams) {
        for (int b = 0; b < next_streams; ++b)
          units[1 - current][b] = locate_units(task, layer, next_tile, first_stream + b, step);
        TileProduct next = start_gates(task, layer, next_tile, first_stream, next_streams,
                                       step.bank, fetches, sums[1 - current]);
        for (int b = 0; b < streams; ++b) {
          next.advance_to(next.rounds() * b / streams);
          update(b);
        }
        next.finish();
        tile = next_tile, streams = next_streams, current = 1 - current;
      });
  for (int b = 0; b < streams; ++b) update(b);
}

void WideBlock::multiply_layer(const Task& task, int layer, int bank) {
  alignas(64) BlockSums sums;
  const bool fetches = fetches_weights(task);
  for_each_tile_and_wide_block(
      task, layer, bank, [&](int tile, int first_stream, int streams) {
        start_gates(task, layer, tile, first_stream, streams, bank, fetches, sums).finish();
      });
}

void WideBlock::compute_logits(const Task& task, const LogitRange& range, int first_stream,
                               int streams, int bank) {
  const Network& network = task.network;
  const uint8_t* inputs = hidden_codes(task, bank, network.depth - 1, first_stream);
  alignas(64) BlockSums sums;
  for (int tile = range.first_tile; tile < range.end_tile; ++tile) {
    const int8_t* weights =
        network.output->weights + std::size_t(tile) * kTileOutputs * network.width;
    TileProduct(weights, network.width, inputs, nullptr, streams, sums).finish();
    store_logits(task, range, tile, streams, sums[0]);
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
