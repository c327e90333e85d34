// What the kernel computes, and with what: the memory that Python lays out, and owns.
//
// Layouts, in elements: outputs in tiles of 4 x 16, inputs in groups of 4, the width of a layer's
// hidden values a multiple of 16. A layer's tile is 16 units, their 4 gates beside each other.
// `model/native_batch.py` mirrors the structures.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr int32_t kLayout = 2;  // to be raised with every change of what the memory means

constexpr int kLanes = 16;  // floats of one vector
constexpr int kGroup = 4;   // inputs that one instruction multiplies and adds
constexpr int kTile = 4;    // vectors of outputs that are computed together
constexpr int kOutputs = kTile * kLanes;

// A product with int8 weights: outputs = (sums + offsets) * scales + biases.
struct Product {
  const int8_t* weights;   // [tile][group][kTile][kLanes][kGroup], 64-byte aligned
  const int32_t* offsets;  // [tile][kTile][kLanes], -128 times the sum of an output's weights
  const float* scales;     // likewise, a step of its weights times a step of the inputs
  const float* biases;     // likewise; null in the first layer, whose biases are in the table
  int32_t tiles;
};

struct Network {
  const float* table;     // [character][tile][kTile][kLanes], the first layer's input product
  const Product* layers;  // inputs: the layer below, if there is one, and the layer itself
  const Product* output;
  int32_t depth;       // layers
  int32_t width;       // of a layer's hidden values, padding included
  int32_t characters;  // V
};

// Some streams, and what to do with them. Their hidden values have two banks, since a layer's old
// ones are read while new ones are written; between calls the first bank is the state. The banks
// are apart: a core that reads ahead in one would take lines of the other from a core that writes them.
struct Batch {
  uint8_t* hidden;              // [2][depth][rows][width], 128 + round(127 h)
  float* cell;                  // [stream][depth][width]
  const int64_t* last_ids;      // [stream], to read first
  const int64_t* forced;        // [step][stream], the character to take, or -1 to draw one
  const float* uniforms;        // [step][stream], to draw with
  const int32_t* first_steps;   // [stream], the first whose result is asked for
  const float* scales;          // [stream], 1 / temperature
  const int32_t* kept;          // [stream], top_k, at most V
  const float* top_p;           // [stream], 1 keeps all
  const float* min_p;           // [stream], 0 keeps all
  const int32_t* alternatives;  // [stream], how many a score names; -1 makes none
  int64_t* ids;                 // out: [step][stream]
  double* scores;               // out: [step][stream][4 + 2 most_alternatives], where one is made
  int32_t rows;  // of `hidden`, from one layer to the next: 15 after the last stream, to be read
  int32_t streams;
  int32_t steps;
  int32_t most_alternatives;
};
