// The step of an LSTM. Each instruction set's file includes it, after it has said what these are:
//   kWidth             numbers of a vector; Floats and Wholes are such vectors
//   fused              a * b + c, rounded once
//   Input, broadcast   4 codes of inputs, in all lanes
//   dot                adds to each of kWidth sums the products of 4 inputs with its 4 weights
//   kSigned            whether `broadcast` takes 128 from the codes
//   kBlock, kVectors   streams whose products are computed together, each with so many vectors of
//                      sums, which all fit into registers
//   kRows              whether there are other ways for more than kBlock streams: ByRows, which the
//                      file then defines
//
// Sums are integers, so that no order of adding changes them; they fit, since a product has at most
// 2 * 65,536 inputs, and 255 * 63 * 131,072 < 2^31. What follows is done per element in float32,
// additions and multiplications apart unless it says `fused` (-ffp-contract=off): every instruction
// set gives the same bits.
//
// Nothing of the standard library's templates is used here: the linker would keep one instruction
// set's copy of them for all.
#pragma once

#include "kernel.h"
#include "vectors.h"

namespace {

using Bytes = Vectors<kWidth>::Bytes;

// Of B streams: [gate][stream][unit].
template <int B>
using Sums = int32_t[kTile][B][kLanes];

inline Floats all(float x) { return Floats{} + x; }

// 2^x, to 1e-7 of itself: 2^n times a polynomial in the rest, |rest| <= 1/2 (Cody and Waite 1980;
// these coefficients make the largest relative error least, Remez 1934). x is held to [-126, 40]:
// the product of three powers stays finite, and a sigmoid's ends are 0 and 1 to 1e-12.
inline Floats power_of_two(Floats x) {
  x = x < -126.0f ? all(-126.0f) : x;
  x = x > 40.0f ? all(40.0f) : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const Floats whole = x + magic;
  const Floats rest = x - (whole - magic);
  Floats power = fused(rest, all(1.32647203e-3f), all(9.67151314e-3f));
  power = fused(power, rest, all(5.55073377e-2f));
  power = fused(power, rest, all(2.40222421e-1f));
  power = fused(power, rest, all(6.93146978e-1f));
  power = fused(power, rest, all(1.0f));
  return Floats(Wholes(power) + (Wholes(whole) << 23));
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

// Adds a tile's products for B streams to their sums.
template <int B>
[[gnu::always_inline]] inline void multiply(Sums<B>& sums, const int8_t* weights,
                                            const uint8_t* const (&inputs)[B], int groups) {
  for (int first = 0; first < kOutputs; first += kVectors * kWidth) {
    Wholes part[B][kVectors];
    const auto place = [&](int b, int v) {
      const int output = first + v * kWidth;
      return &sums[output / kLanes][b][output % kLanes];
    };
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) part[b][v] = load<Wholes>(place(b, v));
    const int8_t* here = weights + first * kGroup;
    for (int group = 0; group < groups; ++group, here += kOutputs * kGroup)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const Input input = broadcast(inputs[b] + kGroup * group);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          part[b][v] = dot(part[b][v], input, here + v * kWidth * kGroup);
      }
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) store(place(b, v), part[b][v]);
  }
}

// Outputs of a tile from `place` on, from their sums.
[[gnu::always_inline]] inline Floats outputs(const int32_t* sums, const Product& product,
                                             std::size_t place, const float* biases) {
  Wholes whole = load<Wholes>(sums);
  if (!kSigned) whole += load<Wholes>(product.offsets + place);
  return fused(__builtin_convertvector(whole, Floats), load<Floats>(product.scales + place),
               load<Floats>(biases + place));
}

// The first layer's input product with a character, with its biases.
inline const float* table_row(const Network& network, int64_t id) {
  return network.table + id * network.layers[0].tiles * kOutputs;
}

// The hidden values of a stream's layer in a bank; those of the next stream come right after.
inline uint8_t* codes(const Task& task, int bank, int layer, int stream) {
  const std::size_t row = (std::size_t(bank) * task.network.depth + layer) * task.batch.rows;
  return task.batch.hidden + (row + stream) * task.network.width;
}

// The sums of 16 units' gates, for B streams.
template <int B>
[[gnu::always_inline]] inline void sum_units(const Task& task, int layer, int tile, int first,
                                             int bank, Sums<B>& sums) {
  const Network& network = task.network;
  const std::size_t width = network.width;
  const int groups = network.width / kGroup;
  const uint8_t *own[B], *below[B];
  for (int b = 0; b < B; ++b) {
    own[b] = codes(task, bank, layer, first + b);
    below[b] = codes(task, 1 - bank, layer ? layer - 1 : 0, first + b);
  }
  const int8_t* weights =
      network.layers[layer].weights + tile * (layer ? 2 : 1) * kOutputs * width;
  if (layer) {
    multiply<B>(sums, weights, below, groups);
    weights += kOutputs * width;
  }
  multiply<B>(sums, weights, own, groups);
}

// What a step of 16 units reads and writes of one stream.
struct Units {
  const float* biases;  // of the layer, or of the character
  float* cell;
  uint8_t* shown;  // hidden values
};

inline Units units_of(const Task& task, int layer, int tile, int stream, int bank,
                      const int64_t* ids) {
  const Network& network = task.network;
  const std::size_t width = network.width, unit = tile * kLanes;
  const std::size_t row = std::size_t(stream) * network.depth + layer;
  const Units units{layer ? network.layers[layer].biases : table_row(network, ids[stream]),
                    task.batch.cell + row * width + unit,
                    codes(task, 1 - bank, layer, stream) + unit};
  // A processor cannot foresee these addresses; what is fetched now arrives during the products.
  __builtin_prefetch(units.cell, 1);
  if (!layer)
    for (int t = 0; t < kTile; ++t)
      __builtin_prefetch(units.biases + std::size_t(tile) * kOutputs + t * kLanes);
  return units;
}

// 16 units of a layer for one stream: their gates, and what these make of cell and hidden values.
// A gate's sums are `stride` after those of the one before; it comes as -log2(e) times its value, the
// candidate as twice that: 1 / (1 + 2^x) is then a sigmoid, and (1 - 2^x) / (1 + 2^x) a hyperbolic
// tangent. Not inlined: AVX2 has too few registers for the products as well, and was 4% slower.
[[gnu::noinline]] void update(const Product& product, int tile, const Units& units,
                              const int32_t* sums, int stride) {
#pragma GCC unroll 1
  for (int unit = 0; unit < kLanes; unit += kWidth) {
    Floats gates[kTile];
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      const std::size_t place = std::size_t(tile) * kOutputs + t * kLanes + unit;
      gates[t] = power_of_two(outputs(sums + t * stride + unit, product, place, units.biases));
    }
    const auto [write, keep, candidate, show] = gates;
    // cell / (1 + keep) + (1 - candidate) / ((1 + write) (1 + candidate)), with one division.
    const Floats kept = 1.0f + keep, written = (1.0f + write) * (1.0f + candidate);
    const Floats cell = fused(load<Floats>(units.cell + unit), written, (1.0f - candidate) * kept) /
                        (kept * written);
    store(units.cell + unit, cell);
    const Floats squashed = power_of_two(cell * -2.8853901f);
    const Floats hidden = (1.0f - squashed) / ((1.0f + show) * (1.0f + squashed));
    // The low byte of a float near 1.5 * 2^23 is the whole number that was added to it.
    const Wholes whole = Wholes(fused(hidden, all(127.0f), all(12582912.0f)));
    store(units.shown + unit, __builtin_convertvector(whole + 128, Bytes));
  }
}

// 16 units of a layer for B streams.
template <int B>
inline void step_units(const Task& task, int layer, int tile, int first, int bank,
                       const int64_t* ids) {
  Units units[B];
  for (int b = 0; b < B; ++b) units[b] = units_of(task, layer, tile, first + b, bank, ids);
  alignas(64) Sums<B> sums = {};
  sum_units<B>(task, layer, tile, first, bank, sums);
#pragma GCC unroll 8
  for (int b = 0; b < B; ++b)
    update(task.network.layers[layer], tile, units[b], sums[0][b], B * kLanes);
}

// Some streams' logits, a row each, of tiles [begin, end).
struct Logits {
  float* rows;
  int begin, end;
};

// A tile's, from its sums.
template <int B>
[[gnu::always_inline]] inline void store_logits(const Task& task, const Logits& logits, int tile,
                                                int streams, const Sums<B>& sums) {
  const Product& product = *task.network.output;
  for (int b = 0; b < streams; ++b)
    for (int output = 0; output < kOutputs; output += kWidth) {
      const int32_t* own = &sums[output / kLanes][b][output % kLanes];
      const std::size_t place = std::size_t(tile) * kOutputs + output;
      store(logits.rows + std::size_t(b) * product.tiles * kOutputs + place,
            outputs(own, product, place, product.biases));
    }
}

// The ways for more than kBlock streams.
struct ByRows {
  static void step(const Task& task, int layer, int bank, const int64_t* ids);
  static void multiply(const Task& task, int layer, int bank);
  static void output(const Task& task, const Logits& logits, int first, int streams, int bank);
};

// The logits of B streams.
template <int B>
inline void multiply_output(const Task& task, const Logits& logits, int first, int bank) {
  const Network& network = task.network;
  const Product& product = *network.output;
  const uint8_t* inputs[B];
  for (int b = 0; b < B; ++b) inputs[b] = codes(task, bank, network.depth - 1, first + b);
  for (int tile = logits.begin; tile < logits.end; ++tile) {
    alignas(64) Sums<B> sums = {};
    const int8_t* weights = product.weights + std::size_t(tile) * kOutputs * network.width;
    multiply<B>(sums, weights, inputs, network.width / kGroup);
    store_logits(task, logits, tile, B, sums);
  }
}

// What characters are drawn by: e^((logit - the highest) * scale).
inline void weigh(const float* logits, int count, float scale, float* weights) {
  float highest = logits[0];
  for (int id = 1; id < count; ++id) highest = logits[id] > highest ? logits[id] : highest;
  for (int id = 0; id < count; id += kWidth) {
    const Floats difference = (load<Floats>(logits + id) - highest) * scale;
    const Floats power = power_of_two(difference * 1.442695f);
    store(weights + id, difference < -86.0f ? Floats{} : power);
  }
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls what(Count<size>).
template <int most, class What>
[[gnu::always_inline]] inline void of_size(int size, What what) {
  if constexpr (most > 0) {
    if (size == most) return what(Count<most>{});
    of_size<most - 1>(size, what);
  }
}

// Calls what(first stream, their number) for streams [begin, end), in even blocks.
template <class What>
[[gnu::always_inline]] inline void in_blocks(int most, int begin, int end, What what) {
  for (int blocks = (end - begin + most - 1) / most; blocks > 0; --blocks) {
    const int size = (end - begin + blocks - 1) / blocks;
    what(begin, size);
    begin += size;
  }
}

// Copies the state into the first bank, where it is between calls.
inline void restore(const Task& task) {
  for (int layer = 0; layer < task.network.depth; ++layer)
    __builtin_memcpy(codes(task, 0, layer, 0), codes(task, 1, layer, 0),
                     std::size_t(task.batch.streams) * task.network.width);
}

// Those of a step, if one of the streams asks for its result.
inline void logits_of(const Task& task, const Logits& logits, int step, int first, int streams,
                      int bank) {
  bool asked = false;
  for (int b = 0; b < streams; ++b) asked |= step >= task.batch.first_steps[first + b];
  if (!asked) return;
  if constexpr (kRows)
    if (streams > kBlock) return ByRows::output(task, logits, first, streams, bank);
  of_size<kBlock>(streams, [&](auto block) {
    multiply_output<decltype(block)::value>(task, logits, first, bank);
  });
}

// A stream's next id, and its score.
inline void choose(const Task& task, const float* logits, int step, int stream) {
  const Batch& batch = task.batch;
  if (step < batch.first_steps[stream]) {
    const std::size_t place = std::size_t(step) * batch.streams + stream;
    batch.ids[place] = batch.forced[place];
    return;
  }
  weigh(logits, task.network.characters, batch.scales[stream], task.weights);
  task.sampler.finish(task.network, batch, step, stream, logits, task.weights);
}

// A part of a count.
inline int share(const Task& task, int count, int part) { return count * part / task.parts; }

// A step's end: the next ids and their scores.
inline void finish(const Task& task, int step, int bank) {
  const int most = kRows ? kMostBlock : kBlock, streams = task.batch.streams;
  const int begin = share(task, streams, task.part), end = share(task, streams, task.part + 1);
  const int tiles = task.network.output->tiles, row = tiles * kOutputs;
  if (streams <= kMostBlock && tiles >= kManyTiles) {  // each thread has a part of the weights
    const int first_tile = share(task, tiles, task.part);
    const int end_tile = share(task, tiles, task.part + 1);
    in_blocks(most, 0, streams, [&](int first, int size) {
      const Logits logits{task.common_logits + first * row, first_tile, end_tile};
      logits_of(task, logits, step, first, size, bank);
    });
    meet(task.barrier);
    for (int stream = begin; stream < end; ++stream)
      choose(task, task.common_logits + stream * row, step, stream);
    return;
  }
  in_blocks(most, begin, end, [&](int first, int size) {
    logits_of(task, {task.logits, 0, tiles}, step, first, size, bank);
    for (int b = 0; b < size; ++b) choose(task, task.logits + b * row, step, first + b);
  });
}

// Calls what(tile) for this part's tiles of a layer: there and back, since what the cache still
// holds of the last step is best used first.
template <class What>
[[gnu::always_inline]] inline void of_tiles(const Task& task, int layer, bool back, What what) {
  const int tiles = task.network.layers[layer].tiles;
  const int first = share(task, tiles, task.part), last = share(task, tiles, task.part + 1) - 1;
  for (int i = first; i <= last; ++i) what(back ? first + last - i : i);
}

// Calls what(Count<streams>, tile, first stream) for this part's tiles and all streams.
template <class What>
[[gnu::always_inline]] inline void of_layer(const Task& task, int layer, int bank, What what) {
  of_tiles(task, layer, bank, [&](int tile) {
    in_blocks(kBlock, 0, task.batch.streams, [&](int first, int streams) {
      of_size<kBlock>(streams, [&](auto block) { what(block, tile, first); });
    });
  });
}

inline void step_layer(const Task& task, int layer, int bank, const int64_t* ids) {
  if constexpr (kRows)
    if (task.batch.streams > kBlock) return ByRows::step(task, layer, bank, ids);
  of_layer(task, layer, bank, [&](auto block, int tile, int first) {
    step_units<decltype(block)::value>(task, layer, tile, first, bank, ids);
  });
}

inline void multiply_layer(const Task& task, int layer, int bank) {
  if constexpr (kRows)
    if (task.batch.streams > kBlock) return ByRows::multiply(task, layer, bank);
  of_layer(task, layer, bank, [&](auto block, int tile, int first) {
    constexpr int B = decltype(block)::value;
    alignas(64) Sums<B> sums = {};
    sum_units<B>(task, layer, tile, first, bank, sums);
    asm volatile("" ::"r"(sums) : "memory");  // or the compiler would leave it all out
  });
}

void run(const Task& task) {
  const Network& network = task.network;
  const Batch& batch = task.batch;
  const int64_t* ids = batch.last_ids;
  const int steps = batch.steps;
  int bank = 0;
  for (int step = 0; step < steps; ++step, bank = 1 - bank) {
    for (int layer = 0; layer < network.depth; ++layer) {
      step_layer(task, layer, bank, ids);
      meet(task.barrier);
    }
    finish(task, step, 1 - bank);
    ids = batch.ids + std::size_t(step) * batch.streams;
    meet(task.barrier);  // after the last one, the batch may be gone
  }
  if (bank && task.part == 0) restore(task);
}

// Nothing of that but the layers' products, which it cannot be faster than.
void multiply_alone(const Task& task) {
  for (int step = 0; step < task.batch.steps; ++step)
    for (int layer = 0; layer < task.network.depth; ++layer) multiply_layer(task, layer, step % 2);
  meet(task.barrier);
}

}  // namespace
