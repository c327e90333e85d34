// The LSTM's step, written once for all instruction sets.
//
// Each instruction set's file includes this file, after it has defined:
//
//   kVectorWidth        32-bit elements in a vector
//   Floats, Ints        vectors of that width
//   fused_multiply_add  a * b + c, rounded once
//   Input, broadcast    the codes of one group of inputs, repeated for all lanes
//   dot                 adds to each of kVectorWidth sums the products of a group's inputs and the
//                       sum's own weights
//   kSignedInputs       whether `broadcast` subtracts 128 from the codes
//   kBlock              streams whose products are computed together
//   kSumVectors         vectors of sums per stream that are computed together;
//                       kBlock * kSumVectors of them have to fit into the registers
//   kHasWideBlock       whether the file defines the functions of WideBlock (below), for blocks of
//                       more than kBlock streams
//
// Every kernel has to give the same bits:
// - Sums are integers, so their order does not matter. They do not overflow, see lstm.h.
// - All other arithmetic is done per element in float32. The compiler must not reorder it or fuse
//   multiplications with additions (-ffp-contract=off); fused_multiply_add says where to fuse.
//
// These files call no templates of the standard library, and include no header of it inside the
// region that is compiled for the instruction set. The linker keeps one copy of such a function for
// the whole program, and this copy might use instructions that the processor lacks.
#pragma once

#include "held_cells.h"
#include "kernel.h"  // already included above the instruction set's region, and so is vectors.h
#include "vectors.h"

namespace {

static_assert(sizeof(Floats) == 4 * kVectorWidth && sizeof(Ints) == 4 * kVectorWidth);
static_assert(kLanes % kVectorWidth == 0, "a vector must not cross the layout's vectors");
static_assert(kTileOutputs % (kSumVectors * kVectorWidth) == 0, "passes must cover a tile exactly");
static_assert(kBlock >= 1 && kBlock <= kMaxBlock, "buffers hold kMaxBlock streams");
static_assert(kBlock <= 8 && kSumVectors <= 4, "raise the unroll pragmas below, too");

// The types that the functions above must have: another one does not compile.
[[maybe_unused]] constexpr Floats (*kCheckMultiplyAdd)(Floats, Floats, Floats) = fused_multiply_add;
[[maybe_unused]] constexpr Input (*kCheckBroadcast)(const uint8_t*) = broadcast;
[[maybe_unused]] constexpr Ints (*kCheckDot)(Ints, Input, const int8_t*) = dot;
[[maybe_unused]] constexpr const bool* kCheckFlags[] = {&kSignedInputs, &kHasWideBlock};

using Bytes = Vectors<kVectorWidth>::Bytes;

// The sums of a tile for B streams. In an LSTM layer: [gate][stream][unit].
template <int B>
using Sums = int32_t[kTileVectors][B][kLanes];

inline Floats splat(float x) { return Floats{} + x; }

// 1.5 * 2^23. Floats of this size are whole numbers, so adding it rounds to the nearest integer,
// which the low bits of the sum then hold (Hecker 1996, "Let's get to the (floating) point").
constexpr float kRounder = 12582912.0f;

// 2^x with a relative error of 1e-7.
//
// x = n + rest with |rest| <= 1/2, and 2^x = 2^n * 2^rest (Cody and Waite 1980). A polynomial
// computes 2^rest; its coefficients minimize the largest relative error (Remez 1934). Adding n to
// the exponent's bits multiplies by 2^n. x is clamped to [-126, 40]: the product of three powers
// stays finite, and the ends of a sigmoid are 0 and 1 to within 1e-12.
inline Floats power_of_two(Floats x) {
  x = x < -126.0f ? splat(-126.0f) : x;
  x = x > 40.0f ? splat(40.0f) : x;
  const Floats whole = x + kRounder;
  const Floats rest = x - (whole - kRounder);
  Floats power = fused_multiply_add(rest, splat(1.32647203e-3f), splat(9.67151314e-3f));
  power = fused_multiply_add(power, rest, splat(5.55073377e-2f));
  power = fused_multiply_add(power, rest, splat(2.40222421e-1f));
  power = fused_multiply_add(power, rest, splat(6.93146978e-1f));
  power = fused_multiply_add(power, rest, splat(1.0f));
  return Floats(Ints(power) + (Ints(whole) << 23));
}

template <class Vector>
inline Vector load(const void* from) {
  Vector x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

template <class Vector>
inline void store(void* to, Vector x) {
  __builtin_memcpy(to, &x, sizeof x);
}

// Adds a tile's products of some groups of inputs to the sums of B streams. The sums stay in
// registers meanwhile, and each weight is loaded once for all streams.
template <int B>
[[gnu::always_inline]] inline void multiply_tile(Sums<B>& sums, const int8_t* weights,
                                                 const uint8_t* const (&inputs)[B], int groups) {
  for (int first = 0; first < kTileOutputs; first += kSumVectors * kVectorWidth) {
    Ints part[B][kSumVectors];
    const auto sums_at = [&](int b, int v) {
      const int output = first + v * kVectorWidth;
      return &sums[output / kLanes][b][output % kLanes];
    };
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
#pragma GCC unroll 4
      for (int v = 0; v < kSumVectors; ++v) part[b][v] = load<Ints>(sums_at(b, v));
    const int8_t* group_weights = weights + first * kGroupInputs;
    for (int group = 0; group < groups; ++group, group_weights += kGroupBytes)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const Input input = broadcast(inputs[b] + kGroupInputs * group);
#pragma GCC unroll 4
        for (int v = 0; v < kSumVectors; ++v)
          part[b][v] = dot(part[b][v], input, group_weights + v * kVectorWidth * kGroupInputs);
      }
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
#pragma GCC unroll 4
      for (int v = 0; v < kSumVectors; ++v) store(sums_at(b, v), part[b][v]);
  }
}

// Turns the sums of kVectorWidth outputs, from `output` of the product on, into floats.
[[gnu::always_inline]] inline Floats dequantize(const int32_t* sums, const Product& product,
                                                std::size_t output, const float* biases) {
  Ints whole = load<Ints>(sums);
  if (!kSignedInputs) whole += load<Ints>(product.offsets + output);
  return fused_multiply_add(__builtin_convertvector(whole, Floats),
                            load<Floats>(product.scales + output), load<Floats>(biases + output));
}

// The first layer's product with a one-hot character, biases included.
inline const float* input_table_row(const Network& network, int64_t id) {
  return network.input_table + id * network.layers[0].tiles * kTileOutputs;
}

// The codes of a stream's hidden values in a layer and a bank. Those of the next stream follow.
inline uint8_t* hidden_codes(const Task& task, int bank, int layer, int stream) {
  const std::size_t bank_layer = std::size_t(bank) * task.network.depth + layer;
  return task.batch.hidden + (bank_layer * task.batch.slot_rows + stream) * task.network.width;
}

// The sums of a layer's tile, the four gates of 16 units, for B streams.
template <int B>
[[gnu::always_inline]] inline void sum_gates(const Task& task, int layer, int tile,
                                             int first_stream, int bank, Sums<B>& sums) {
  const Network& network = task.network;
  const std::size_t width = network.width;
  const int groups = network.width / kGroupInputs;
  const uint8_t *own[B], *below[B];
  for (int b = 0; b < B; ++b) {
    own[b] = hidden_codes(task, bank, layer, first_stream + b);
    below[b] = hidden_codes(task, 1 - bank, layer ? layer - 1 : 0, first_stream + b);
  }
  const int8_t* weights =
      network.layers[layer].weights + tile * (layer ? 2 : 1) * kTileOutputs * width;
  if (layer) {
    multiply_tile<B>(sums, weights, below, groups);
    weights += kTileOutputs * width;
  }
  multiply_tile<B>(sums, weights, own, groups);
}

// A step that all streams of the batch take.
struct Step {
  int number, bank;    // counted from 0; the bank that the step starts from
  const int64_t* ids;  // [stream], the characters to read
};

// Where a step of 16 units reads and writes for one stream.
struct UnitPointers {
  const float* biases;  // of the layer; in the first layer, the character's row of the input table
  float* cell;
  uint8_t* hidden;  // the new values
  int holder;       // the stream, if it holds some of the cells at a value; otherwise -1
};

// Computes the addresses and prefetches them. The processor cannot predict them; if it fetches them
// now, they arrive while it computes the products.
inline UnitPointers locate_units(const Task& task, int layer, int tile, int stream, Step step) {
  const Network& network = task.network;
  const Batch& batch = task.batch;
  const std::size_t width = network.width, unit = tile * kLanes;
  const std::size_t cells = std::size_t(stream) * network.depth + layer;
  const bool holds = batch.hold_counts && holds_cells(batch, step.number, stream,
                                                      first_cell(network, layer, tile));
  const UnitPointers units{layer ? network.layers[layer].biases
                                 : input_table_row(network, step.ids[stream]),
                           batch.cell + cells * width + unit,
                           hidden_codes(task, 1 - step.bank, layer, stream) + unit,
                           holds ? stream : -1};
  __builtin_prefetch(units.cell, 1);
  if (!layer)
    for (int t = 0; t < kTileVectors; ++t)
      __builtin_prefetch(units.biases + std::size_t(tile) * kTileOutputs + t * kLanes);
  return units;
}

// Computes the gates, the new cell state and the new hidden values of 16 units of one stream. Held
// cells get their value before the hidden values are computed from them.
//
// `gate_stride` is the distance between the sums of one gate and the next. The product's scales and
// biases contain a factor, so that its outputs are x = -log2(e) times the preactivations, and twice
// that for the cell gate. Then sigmoid = 1 / (1 + 2^x), and tanh = (1 - 2^x) / (1 + 2^x).
template <bool has_held_cells>
[[gnu::always_inline]] inline void compute_units(const Product& product, int tile,
                                                 const UnitPointers& units, const int32_t* sums,
                                                 int gate_stride,
                                                 [[maybe_unused]] const HeldCells* held) {
#pragma GCC unroll 1
  for (int unit = 0; unit < kLanes; unit += kVectorWidth) {
    Floats powers[kTileVectors];
#pragma GCC unroll 4
    for (int t = 0; t < kTileVectors; ++t) {
      const std::size_t output = std::size_t(tile) * kTileOutputs + t * kLanes + unit;
      powers[t] =
          power_of_two(dequantize(sums + t * gate_stride + unit, product, output, units.biases));
    }
    const auto [input_power, forget_power, cell_power, output_power] = powers;
    // The new cell state, forget gate * cell state + input gate * cell gate, is
    // cell / (1 + forget_power) + (1 - cell_power) / ((1 + input_power) (1 + cell_power)).
    // With a common denominator, it takes one division.
    const Floats forget_divisor = 1.0f + forget_power;
    const Floats input_divisor = (1.0f + input_power) * (1.0f + cell_power);
    Floats cell = fused_multiply_add(load<Floats>(units.cell + unit), input_divisor,
                                     (1.0f - cell_power) * forget_divisor) /
                  (forget_divisor * input_divisor);
    if constexpr (has_held_cells)
      cell = load<Ints>(held->held + unit) != 0 ? load<Floats>(held->values + unit) : cell;
    store(units.cell + unit, cell);
    const Floats state_power = power_of_two(cell * -2.8853901f);  // -2 log2(e)
    const Floats hidden = (1.0f - state_power) / ((1.0f + output_power) * (1.0f + state_power));
    // The low byte of kRounder + 127 h is round(127 h).
    const Ints code = Ints(fused_multiply_add(hidden, splat(kHiddenSteps), splat(kRounder)));
    store(units.hidden + unit, __builtin_convertvector(code + kZeroCode, Bytes));
  }
}

// Not inlined: AVX2 has too few registers for this code beside the products, and was 4% slower.
[[gnu::noinline]] void update_free_units(const Product& product, int tile,
                                         const UnitPointers& units, const int32_t* sums,
                                         int gate_stride) {
  compute_units<false>(product, tile, units, sums, gate_stride, nullptr);
}

[[gnu::noinline]] void update_held_units(const Task& task, int layer, int tile,
                                         const UnitPointers& units, const int32_t* sums,
                                         int gate_stride) {
  const HeldCells held =
      find_held_cells(task.batch, units.holder, first_cell(task.network, layer, tile));
  compute_units<true>(task.network.layers[layer], tile, units, sums, gate_stride, &held);
}

// Updates 16 units of one stream. The two functions give cells that are not held the same bits.
inline void update_units(const Task& task, int layer, int tile, const UnitPointers& units,
                         const int32_t* sums, int gate_stride) {
  if (units.holder < 0) [[likely]]
    update_free_units(task.network.layers[layer], tile, units, sums, gate_stride);
  else
    update_held_units(task, layer, tile, units, sums, gate_stride);
}

// Steps a layer's tile, 16 units, for B streams.
template <int B>
inline void step_tile(const Task& task, int layer, int tile, int first_stream, Step step) {
  UnitPointers units[B];
  for (int b = 0; b < B; ++b) units[b] = locate_units(task, layer, tile, first_stream + b, step);
  alignas(64) Sums<B> sums = {};
  sum_gates<B>(task, layer, tile, first_stream, step.bank, sums);
#pragma GCC unroll 8
  for (int b = 0; b < B; ++b) update_units(task, layer, tile, units[b], sums[0][b], B * kLanes);
}

// Where to write the logits of a block's streams, and which tiles of them to compute.
struct LogitRange {
  float* logits;  // [stream][padded vocabulary]
  int first_tile, end_tile;
};

template <int B>
[[gnu::always_inline]] inline void store_logits(const Task& task, const LogitRange& range,
                                                int tile, int streams, const Sums<B>& sums) {
  const Product& product = *task.network.output;
  for (int b = 0; b < streams; ++b)
    for (int lane = 0; lane < kTileOutputs; lane += kVectorWidth) {
      const int32_t* own = &sums[lane / kLanes][b][lane % kLanes];
      const std::size_t output = std::size_t(tile) * kTileOutputs + lane;
      store(range.logits + std::size_t(b) * product.tiles * kTileOutputs + output,
            dequantize(own, product, output, product.biases));
    }
}

// The functions for blocks of kBlock + 1 to kMaxBlock streams, if kHasWideBlock.
struct WideBlock {
  static void step_layer(const Task& task, int layer, Step step);
  static void multiply_layer(const Task& task, int layer, int bank);
  static void compute_logits(const Task& task, const LogitRange& range, int first_stream,
                             int streams, int bank);
};

// The logits of B streams, from the hidden values in a bank.
template <int B>
inline void compute_logits(const Task& task, const LogitRange& range, int first_stream, int bank) {
  const Network& network = task.network;
  const Product& product = *network.output;
  const uint8_t* inputs[B];
  for (int b = 0; b < B; ++b)
    inputs[b] = hidden_codes(task, bank, network.depth - 1, first_stream + b);
  for (int tile = range.first_tile; tile < range.end_tile; ++tile) {
    alignas(64) Sums<B> sums = {};
    const int8_t* weights = product.weights + std::size_t(tile) * kTileOutputs * network.width;
    multiply_tile<B>(sums, weights, inputs, network.width / kGroupInputs);
    store_logits(task, range, tile, B, sums);
  }
}

// e^((logit - highest logit) / temperature): the numerators of the softmax.
inline void compute_exponentials(const float* logits, int count, float inverse_temperature,
                                 float* exponentials) {
  float highest = logits[0];
  for (int id = 1; id < count; ++id) highest = logits[id] > highest ? logits[id] : highest;
  for (int id = 0; id < count; id += kVectorWidth) {
    const Floats exponent = (load<Floats>(logits + id) - highest) * inverse_temperature;
    const Floats power = power_of_two(exponent * 1.442695f);  // log2(e)
    store(exponentials + id, exponent < -86.0f ? Floats{} : power);
  }
}

// A number of streams that is known at compile time.
template <int N>
struct BlockSize {
  static constexpr int value = N;
};

// Calls visit(BlockSize<size>), for a size of at most `max`.
template <int max, class Visit>
[[gnu::always_inline]] inline void with_block_size(int size, Visit visit) {
  if constexpr (max > 0) {
    if (size == max) return visit(BlockSize<max>{});
    with_block_size<max - 1>(size, visit);
  }
}

// Calls visit(first stream, number of streams) for blocks of the streams [begin, end). There are as
// few blocks as possible, and their sizes differ by at most one.
template <class Visit>
[[gnu::always_inline]] inline void for_each_block(int max, int begin, int end, Visit visit) {
  for (int blocks = (end - begin + max - 1) / max; blocks > 0; --blocks) {
    const int size = (end - begin + blocks - 1) / blocks;
    visit(begin, size);
    begin += size;
  }
}

// Copies the state into bank 0, where it is between calls.
inline void copy_to_bank_0(const Task& task) {
  for (int layer = 0; layer < task.network.depth; ++layer)
    __builtin_memcpy(hidden_codes(task, 0, layer, 0), hidden_codes(task, 1, layer, 0),
                     std::size_t(task.batch.streams) * task.network.width);
}

// Whether a stream draws or scores its next id in a step.
inline bool needs_choice(const Batch& batch, int step, int stream) {
  if (step < batch.prompt_steps[stream]) return false;
  return batch.alternatives[stream] >= 0 ||
         batch.forced_ids[std::size_t(step) * batch.streams + stream] < 0;
}

// Whether a stream needs logits in a step. A memory learns from all of them.
inline bool needs_logits(const Batch& batch, int step, int stream) {
  return needs_choice(batch, step, stream) || (batch.memories && batch.memories[stream]);
}

// The logits of a stream's mixture, if it has a memory.
inline const float* mix_with_memory(const Task& task, const float* logits, int step, int stream) {
  const Batch& batch = task.batch;
  if (!batch.memories || !batch.memories[stream]) return logits;
  const int64_t read = step ? batch.ids[std::size_t(step - 1) * batch.streams + stream]
                            : batch.last_ids[stream];
  return mix_logits(batch.memories[stream], read, logits, task.network.vocabulary_size);
}

// Computes the logits of a block's streams, unless none of them needs any in this step.
inline void compute_needed_logits(const Task& task, const LogitRange& range, int step,
                                  int first_stream, int streams, int bank) {
  bool needed = false;
  for (int b = 0; b < streams; ++b) needed |= needs_logits(task.batch, step, first_stream + b);
  if (!needed) return;
  if constexpr (kHasWideBlock)
    if (streams > kBlock)
      return WideBlock::compute_logits(task, range, first_stream, streams, bank);
  with_block_size<kBlock>(streams, [&](auto size) {
    compute_logits<decltype(size)::value>(task, range, first_stream, bank);
  });
}

// Chooses the next id of a stream with a constraint. Not inlined, because most streams have none.
[[gnu::noinline]] void choose_constrained_id(const Task& task, const float* logits, int step,
                                             int stream) {
  const Batch& batch = task.batch;
  const int state = batch.pattern_states[stream], count = task.network.vocabulary_size;
  if (state == kEnded) {  // any character, for the steps that the other streams still take
    batch.ids[std::size_t(step) * batch.streams + stream] = 0;
    return;
  }
  constrain_logits(batch.constraints[stream], state, logits, count, task.constrained);
  compute_exponentials(task.constrained, count, batch.inverse_temperatures[stream],
                       task.exponentials);
  task.sampler.choose_constrained(task.network, batch, step, stream, logits, task.exponentials);
}

// Copies the states of the cells that a stream asks for.
inline void copy_cell_states(const Task& task, int step, int stream) {
  const Batch& batch = task.batch;
  if (!batch.read_offsets) return;
  const std::size_t cells = std::size_t(task.network.depth) * task.network.width;
  const float* from = batch.cell + stream * cells;
  float* to = batch.read_states + std::size_t(step) * batch.read_offsets[batch.streams];
  for (int i = batch.read_offsets[stream]; i < batch.read_offsets[stream + 1]; ++i)
    to[i] = from[batch.read_cells[i]];
}

// Chooses a stream's next id, and computes its score if the stream asks for scores. Copies the
// states of the cells that it asks for.
inline void finish_stream(const Task& task, const float* logits, int step, int stream) {
  const Batch& batch = task.batch;
  copy_cell_states(task, step, stream);
  logits = mix_with_memory(task, logits, step, stream);
  if (!needs_choice(batch, step, stream)) {
    const std::size_t index = std::size_t(step) * batch.streams + stream;
    batch.ids[index] = batch.forced_ids[index];
    return;
  }
  if (batch.constraints && batch.constraints[stream].next) [[unlikely]]
    return choose_constrained_id(task, logits, step, stream);
  compute_exponentials(logits, task.network.vocabulary_size, batch.inverse_temperatures[stream],
                       task.exponentials);
  task.sampler.choose(task.network, batch, step, stream, logits, task.exponentials);
}

// The first of `count` items that belong to a thread. The next thread's first one ends its range.
inline int first_of_thread(const Task& task, int count, int thread) {
  return count * thread / task.threads;
}

// Ends a step: computes the logits, the next ids and their scores, and copies cell states.
inline void finish_step(const Task& task, int step, int bank) {
  const int max_block = kHasWideBlock ? kMaxBlock : kBlock, streams = task.batch.streams;
  const int begin = first_of_thread(task, streams, task.thread);
  const int end = first_of_thread(task, streams, task.thread + 1);
  const int tiles = task.network.output->tiles, outputs = tiles * kTileOutputs;
  if (streams <= kMaxBlock && tiles >= kMinSharedTiles) {
    // Few streams, large output layer: each thread computes a range of tiles for all streams.
    const int first_tile = first_of_thread(task, tiles, task.thread);
    const int end_tile = first_of_thread(task, tiles, task.thread + 1);
    for_each_block(max_block, 0, streams, [&](int first_stream, int size) {
      const LogitRange range{task.shared_logits + first_stream * outputs, first_tile, end_tile};
      compute_needed_logits(task, range, step, first_stream, size, bank);
    });
    meet(task);
    for (int stream = begin; stream < end; ++stream)
      finish_stream(task, task.shared_logits + stream * outputs, step, stream);
    return;
  }
  for_each_block(max_block, begin, end, [&](int first_stream, int size) {
    compute_needed_logits(task, {task.logits, 0, tiles}, step, first_stream, size, bank);
    for (int b = 0; b < size; ++b)
      finish_stream(task, task.logits + b * outputs, step, first_stream + b);
  });
}

// Calls visit(tile) for this thread's tiles of a layer, backwards in every other step.
//
// If the weights exceed the cache, reading them in a cycle is the worst case of a cache that evicts
// what was used least recently: each tile is evicted before its next use (Mattson et al. 1970,
// "Evaluation techniques for storage hierarchies"). Back and forth, the tiles read last in one step
// are read first in the next, while they are still in the cache.
template <class Visit>
[[gnu::always_inline]] inline void for_each_tile(const Task& task, int layer, bool backwards,
                                                 Visit visit) {
  const int tiles = task.network.layers[layer].tiles;
  const int first = first_of_thread(task, tiles, task.thread);
  const int last = first_of_thread(task, tiles, task.thread + 1) - 1;
  for (int i = first; i <= last; ++i) visit(backwards ? first + last - i : i);
}

// Calls visit(BlockSize<streams>, tile, first stream) for this thread's tiles and all streams.
template <class Visit>
[[gnu::always_inline]] inline void for_each_tile_and_block(const Task& task, int layer, int bank,
                                                           Visit visit) {
  for_each_tile(task, layer, bank, [&](int tile) {
    for_each_block(kBlock, 0, task.batch.streams, [&](int first_stream, int streams) {
      with_block_size<kBlock>(streams, [&](auto size) { visit(size, tile, first_stream); });
    });
  });
}

inline void step_layer(const Task& task, int layer, Step step) {
  if constexpr (kHasWideBlock)
    if (task.batch.streams > kBlock) return WideBlock::step_layer(task, layer, step);
  for_each_tile_and_block(task, layer, step.bank, [&](auto size, int tile, int first_stream) {
    step_tile<decltype(size)::value>(task, layer, tile, first_stream, step);
  });
}

inline void multiply_layer(const Task& task, int layer, int bank) {
  if constexpr (kHasWideBlock)
    if (task.batch.streams > kBlock) return WideBlock::multiply_layer(task, layer, bank);
  for_each_tile_and_block(task, layer, bank, [&](auto size, int tile, int first_stream) {
    constexpr int B = decltype(size)::value;
    alignas(64) Sums<B> sums = {};
    sum_gates<B>(task, layer, tile, first_stream, bank, sums);
    asm volatile("" ::"r"(sums) : "memory");  // keeps the compiler from removing unused sums
  });
}

// Takes all steps of a batch, or those until this thread is not needed any more.
void run(Task& task) {
  const Network& network = task.network;
  const Batch& batch = task.batch;
  const int64_t* ids = batch.last_ids;
  const int steps = batch.steps;
  int bank = 0;
  for (int step = 0; step < steps; ++step, bank = 1 - bank) {
    for (int layer = 0; layer < network.depth; ++layer) {
      step_layer(task, layer, {step, bank, ids});
      meet_after_layer(task);
    }
    finish_step(task, step, 1 - bank);
    ids = batch.ids + std::size_t(step) * batch.streams;
    if (!meet_after_step(task)) return;  // after the last step, the caller may free the batch
  }
  if (bank && task.thread == 0) copy_to_bank_0(task);
}

// Computes only the layers' products of all steps. `run` cannot be faster.
void multiply_layers(Task& task) {
  for (int step = 0; step < task.batch.steps; ++step)
    for (int layer = 0; layer < task.network.depth; ++layer) multiply_layer(task, layer, step % 2);
  meet(task);
}

}  // namespace
