// The step of an LSTM. Each instruction set's file includes it, after it has said what these are:
//   Input, broadcast   4 codes of inputs, in all lanes
//   dot                adds to each of 16 sums the products of 4 inputs with its 4 weights
//   kBlock             streams stepped together
//   kInRegisters       of them, those whose sums of kVectors vectors fit into registers
//   multiply_rows      what multiplies for more streams than that, if kBlock is more
//   kSigned            whether `broadcast` takes 128 from the codes
//
// Sums are integers, so that no order of adding changes them; they fit, since a product has at most
// 2 * 65,536 inputs, and 255 * 63 * 131,072 < 2^31. What follows is done per element in
// float32, additions and multiplications apart (-ffp-contract=off): every instruction set gives the
// same bits.
//
// Nothing of the standard library's templates is used here: the linker would keep one instruction
// set's copy of them for all.
#pragma once

#include "kernel.h"
#include "vectors.h"

namespace {

// 2^x, to 1e-7 of itself: 2^n times a polynomial in the rest, |rest| <= 1/2 (Cody and Waite 1980;
// these coefficients make the largest relative error least, Remez 1934). x is held to [-126, 40]:
// the product of three powers stays finite, and a sigmoid's ends are 0 and 1 to 1e-12.
inline Floats power_of_two(Floats x) {
  x = x < -126.0f ? Floats{} - 126.0f : x;
  x = x > 40.0f ? Floats{} + 40.0f : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const Floats shifted = x + magic;
  const Floats rest = x - (shifted - magic);
  Floats power = rest * 1.32647203e-3f + 9.67151314e-3f;
  power = power * rest + 5.55073377e-2f;
  power = power * rest + 2.40222421e-1f;
  power = power * rest + 6.93146978e-1f;
  power = power * rest + 1.0f;
  return Floats(Ints(power) + (Ints(shifted) << 23));
}

inline Floats load(const float* from) {
  Floats x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

inline void store(float* to, Floats x) { __builtin_memcpy(to, &x, sizeof x); }

template <int B>
void multiply_rows(Ints (&sums)[kTile][B], const int8_t* weights,
                   const uint8_t* const (&inputs)[B], int groups);

// Adds a tile's products for B streams to their sums.
template <int B>
[[gnu::always_inline]] inline void multiply(Ints (&sums)[kTile][B], const int8_t* weights,
                                            const uint8_t* const (&inputs)[B], int groups) {
  if constexpr (B > kInRegisters) return multiply_rows<B>(sums, weights, inputs, groups);
#pragma GCC unroll 4
  for (int first = 0; first < kTile; first += kVectors) {
    Ints part[kVectors][B];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) part[v][b] = sums[first + v][b];
    const int8_t* here = weights + first * kLanes * kGroup;
    for (int group = 0; group < groups; ++group, here += kOutputs * kGroup) {
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) {
        const Input input = broadcast(inputs[b] + kGroup * group);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          part[v][b] = dot(part[v][b], input, here + v * kLanes * kGroup);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 8
      for (int b = 0; b < B; ++b) sums[first + v][b] = part[v][b];
  }
}

// 16 outputs of a tile, from their sums.
[[gnu::always_inline]] inline Floats outputs(Ints sums, const Product& product, std::size_t place,
                                             const float* biases) {
  Ints offsets = {};
  if (!kSigned) __builtin_memcpy(&offsets, product.offsets + place, sizeof offsets);
  return __builtin_convertvector(sums + offsets, Floats) * load(product.scales + place) +
         load(biases + place);
}

// The first layer's input product with a character, with its biases.
inline const float* table_row(const Network& network, int64_t id) {
  return network.table + id * network.layers[0].tiles * kOutputs;
}

// The sums of 16 units' gates, for B streams.
template <int B>
[[gnu::always_inline]] inline void sum_units(const Task& task, int layer, int tile, int first,
                                             int bank, Ints (&sums)[kTile][B]) {
  const Network& network = task.network;
  const std::size_t width = network.width, bank_size = width * network.depth;
  const int groups = network.width / kGroup;
  const uint8_t *own[B], *below[B];
  for (int b = 0; b < B; ++b) {
    const uint8_t* banks = task.batch.hidden + (first + b) * 2 * bank_size;
    own[b] = banks + bank * bank_size + layer * width;
    below[b] = banks + (1 - bank) * bank_size + (layer ? layer - 1 : 0) * width;
  }
  const int8_t* weights =
      network.layers[layer].weights + tile * (layer ? 2 : 1) * kOutputs * width;
  if (layer) {
    multiply<B>(sums, weights, below, groups);
    weights += kOutputs * width;
  }
  multiply<B>(sums, weights, own, groups);
}

// 16 units of a layer for one stream: their gates, and what these make of cell and hidden values.
// A gate comes as -log2(e) times its value, the candidate as twice that: 1 / (1 + 2^x) is then a
// sigmoid, and (1 - 2^x) / (1 + 2^x) a hyperbolic tangent.
[[gnu::noinline]] void update(const Product& product, std::size_t place, const float* biases,
                              const Ints (&sums)[kTile], float* cell, uint8_t* shown) {
  Floats gates[kTile];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t)
    gates[t] = power_of_two(outputs(sums[t], product, place + t * kLanes, biases));
  const auto [write, keep, candidate, show] = gates;
  // cell / (1 + keep) + (1 - candidate) / ((1 + write) (1 + candidate)), with one division.
  const Floats kept = 1.0f + keep, written = (1.0f + write) * (1.0f + candidate);
  const Floats now = (load(cell) * written + (1.0f - candidate) * kept) / (kept * written);
  store(cell, now);
  const Floats squashed = power_of_two(now * -2.8853901f);
  const Floats hidden = (1.0f - squashed) / ((1.0f + show) * (1.0f + squashed));
  // The low byte of a float near 1.5 * 2^23 is the whole number that was added to it.
  const Bytes codes = __builtin_convertvector(Ints(hidden * 127.0f + 12582912.0f) + 128, Bytes);
  __builtin_memcpy(shown, &codes, sizeof codes);
}

// 16 units of a layer for B streams.
template <int B>
inline void step_units(const Task& task, int layer, int tile, int first, int bank,
                       const int64_t* ids) {
  const Network& network = task.network;
  const Product& product = network.layers[layer];
  const std::size_t width = network.width, bank_size = width * network.depth;
  const std::size_t unit = tile * kLanes, place = std::size_t(tile) * kOutputs;
  const float* biases[B];
  float* cell[B];
  for (int b = 0; b < B; ++b) {
    const std::size_t stream = first + b;
    biases[b] = layer ? product.biases : table_row(network, ids[stream]);
    cell[b] = task.batch.cell + (stream * network.depth + layer) * width + unit;
    // No pattern that a processor sees; the products give it the time.
    __builtin_prefetch(cell[b], 1);
    for (int t = 0; t < kTile; ++t) __builtin_prefetch(biases[b] + place + t * kLanes);
  }
  Ints sums[kTile][B] = {};
  sum_units<B>(task, layer, tile, first, bank, sums);
#pragma GCC unroll 8
  for (int b = 0; b < B; ++b) {
    const std::size_t stream = first + b;
    uint8_t* shown =
        task.batch.hidden + (stream * 2 + 1 - bank) * bank_size + layer * width + unit;
    const Ints own[kTile] = {sums[0][b], sums[1][b], sums[2][b], sums[3][b]};
    update(product, place, biases[b], own, cell[b], shown);
  }
}

// The logits of B streams into task.logits, a row each.
template <int B>
inline void multiply_output(const Task& task, int first, int bank) {
  const Network& network = task.network;
  const Product& product = *network.output;
  const std::size_t width = network.width, bank_size = width * network.depth;
  const uint8_t* top[B];
  for (int b = 0; b < B; ++b)
    top[b] = task.batch.hidden + ((first + b) * 2 + bank + 1) * bank_size - width;
  for (int tile = 0; tile < product.tiles; ++tile) {
    Ints sums[kTile][B] = {};
    multiply<B>(sums, product.weights + tile * kOutputs * width, top, network.width / kGroup);
#pragma GCC unroll 8
    for (int b = 0; b < B; ++b)
#pragma GCC unroll 4
      for (int t = 0; t < kTile; ++t) {
        const std::size_t place = std::size_t(tile) * kOutputs + t * kLanes;
        store(task.logits + b * product.tiles * kOutputs + place,
              outputs(sums[t][b], product, place, product.biases));
      }
  }
}

// What characters are drawn by: e^((logit - the highest) * scale).
inline void weigh(const float* logits, int count, float scale, float* weights) {
  float highest = logits[0];
  for (int id = 1; id < count; ++id) highest = logits[id] > highest ? logits[id] : highest;
  for (int id = 0; id < count; id += kLanes) {
    const Floats difference = (load(logits + id) - highest) * scale;
    const Floats power = power_of_two(difference * 1.442695f);
    store(weights + id, difference < -86.0f ? Floats{} : power);
  }
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls what(Count<size>, first stream).
template <int B, class What>
[[gnu::always_inline]] inline void of_size(int size, int first, What what) {
  if constexpr (B > 0) {
    if (size == B) return what(Count<B>{}, first);
    of_size<B - 1>(size, first, what);
  }
}

// The same for streams [begin, end), in even blocks.
template <class What>
[[gnu::always_inline]] inline void in_blocks(int begin, int end, What what) {
  for (int blocks = (end - begin + kBlock - 1) / kBlock; blocks > 0; --blocks) {
    const int size = (end - begin + blocks - 1) / blocks;
    of_size<kBlock>(size, begin, what);
    begin += size;
  }
}

// Copies the state into the first bank, where it is between calls.
inline void restore(const Task& task) {
  const std::size_t bank_size = std::size_t(task.network.depth) * task.network.width;
  for (int stream = 0; stream < task.batch.streams; ++stream) {
    uint8_t* banks = task.batch.hidden + stream * 2 * bank_size;
    __builtin_memcpy(banks, banks + bank_size, bank_size);
  }
}

// A step's end: the next ids of streams [begin, end), and their scores.
inline void finish(const Task& task, int step, int bank, int begin, int end) {
  const Batch& batch = task.batch;
  in_blocks(begin, end, [&](auto block, int first) {
    constexpr int B = decltype(block)::value;
    bool asked = false;
    for (int b = 0; b < B; ++b) asked |= step >= batch.first_steps[first + b];
    if (asked) multiply_output<B>(task, first, bank);
    for (int stream = first; stream < first + B; ++stream) {
      if (step < batch.first_steps[stream]) {
        const std::size_t place = std::size_t(step) * batch.streams + stream;
        batch.ids[place] = batch.forced[place];
        continue;
      }
      const int row = (stream - first) * task.network.output->tiles * kOutputs;
      weigh(task.logits + row, task.network.characters, batch.scales[stream], task.weights);
      task.sampler.finish(task.network, batch, step, stream, task.logits + row, task.weights);
    }
  });
}

// A part of a count.
inline int share(const Task& task, int count, int part) { return count * part / task.parts; }

// Calls what(tile) for this part's tiles of a layer: there and back, since what the cache still
// holds of the last step is best used first.
template <class What>
[[gnu::always_inline]] inline void of_tiles(const Task& task, int layer, bool back, What what) {
  const int tiles = task.network.layers[layer].tiles;
  const int first = share(task, tiles, task.part), last = share(task, tiles, task.part + 1) - 1;
  for (int i = first; i <= last; ++i) what(back ? first + last - i : i);
}

void run(const Task& task) {
  const Network& network = task.network;
  const Batch& batch = task.batch;
  const int64_t* ids = batch.last_ids;
  const int steps = batch.steps;
  int bank = 0;
  for (int step = 0; step < steps; ++step, bank = 1 - bank) {
    for (int layer = 0; layer < network.depth; ++layer) {
      of_tiles(task, layer, bank, [&](int tile) {
        in_blocks(0, batch.streams, [&](auto block, int first) {
          step_units<decltype(block)::value>(task, layer, tile, first, bank, ids);
        });
      });
      meet(task.barrier);
    }
    finish(task, step, 1 - bank, share(task, batch.streams, task.part),
           share(task, batch.streams, task.part + 1));
    ids = batch.ids + std::size_t(step) * batch.streams;
    meet(task.barrier);  // after the last one, the batch may be gone
  }
  if (bank && task.part == 0) restore(task);
}

// Nothing of that but the layers' products, which it cannot be faster than.
void multiply_alone(const Task& task) {
  const int steps = task.batch.steps, streams = task.batch.streams;
  for (int step = 0; step < steps; ++step) {
    for (int layer = 0; layer < task.network.depth; ++layer)
      of_tiles(task, layer, step % 2, [&](int tile) {
        in_blocks(0, streams, [&](auto block, int first) {
          Ints sums[kTile][decltype(block)::value] = {};
          sum_units(task, layer, tile, first, step % 2, sums);
          asm volatile("" ::"r"(sums) : "memory");  // or the compiler would leave it all out
        });
      });
  }
  meet(task.barrier);
}

}  // namespace
