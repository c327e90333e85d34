// The memory that Python allocates and fills, and that the kernels read and write.
//
// README.md in this folder draws the layouts. `model/native/library.py` mirrors the structures for
// ctypes: the order and the types of the fields are a contract, their names are not.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "-ffast-math and its parts change results: rounding, NaN, and the equality of all kernels"
#endif

// Raise this version with every change of a function, of a structure or of what its memory means.
// Python compares it and the constants below with its own, and refuses a library that was built from
// other sources.
constexpr int32_t kLayoutVersion = 8;

constexpr int kLanes = 16;       // outputs in one vector of the layout
constexpr int kGroupInputs = 4;  // inputs that one dot-product instruction multiplies and adds
constexpr int kTileVectors = 4;  // vectors of outputs in a tile; in an LSTM layer, one per gate
constexpr int kTileOutputs = kTileVectors * kLanes;
constexpr int kGroupBytes = kTileOutputs * kGroupInputs;  // weights of a tile for one group
constexpr int kAlignment = 64;  // of all arrays of a Product and of the input table, in bytes

// A hidden value h in (-1, 1) is stored as the code kZeroCode + round(kHiddenSteps * h).
constexpr int kZeroCode = 128, kHiddenSteps = 127;

// The most streams in a block. A block is the set of streams whose products are computed together,
// so that each weight is loaded once for all of them. Python pads the hidden values by one row less
// than this.
constexpr int kMaxBlock = 16;

// The most cells that a stream can hold at a value.
constexpr int kMaxHolds = 8;

// Sums are 32-bit integers. The largest sum has to fit: u8 inputs times 7-bit weights, over the
// inputs of a layer that reads two layers of the largest size that NetworkConfig allows.
constexpr int kMaxInput = 255, kMaxWeight = 63;
constexpr int64_t kMaxHiddenSize = 65'536;
static_assert(kMaxHiddenSize * kMaxInput * kMaxWeight * 2 <= INT32_MAX);
static_assert(kZeroCode + kHiddenSteps <= kMaxInput && kZeroCode - kHiddenSteps >= 0);

// A matrix product with int8 weights: outputs = (sums + offsets) * scales + biases.
//
// Inputs are u8 codes, 128 + round(127 x), because the x86 instructions multiply unsigned by signed
// bytes. `offsets` takes the 128 out again: sum((128 + q) w) - 128 sum(w) = sum(q w). oneDNN calls
// this s8s8 compensation (its developer guide, "Nuances of int8 computations").
struct Product {
  const int8_t* weights;   // [tile][group][kTileVectors][kLanes][kGroupInputs], 64-byte aligned
  const int32_t* offsets;  // [tile][kTileVectors][kLanes], -128 times the sum of the weights
  const float* scales;     // [tile][kTileVectors][kLanes], quantization step of weights and inputs
  const float* biases;     // [tile][kTileVectors][kLanes]; null in the first layer, see input_table
  int32_t tiles;
};

// Input characters are one-hot, so the first layer's input product is a row of a table.
struct Network {
  const float* input_table;  // [character][tile][kTileVectors][kLanes], biases included
  const Product* layers;     // [depth]; inputs: the layer below, if any, then the layer itself
  const Product* output;
  int32_t depth;  // number of LSTM layers
  int32_t width;  // hidden values of a layer, padded to a multiple of kLanes
  int32_t vocabulary_size;
};

// What restricts the characters that a stream draws: a pattern, which is a deterministic automaton,
// and numbers that are added to the logits. `model/choice/constraint.py` and `model/patterns/pattern.py` make them.
struct Constraint {
  const int32_t* next;      // [state][classes], a state, kNowhere or kFinal; null: no constraint
  const int32_t* class_of;  // [character]
  const int32_t* may_end;   // [state], whether the text may end in the state
  const float* biases;      // [character], minus infinity bans a character; null adds nothing
  int64_t classes;
};
constexpr int kNowhere = -1;  // the pattern does not allow the character
constexpr int kFinal = -2;    // the pattern allows the character, and nothing can follow it
constexpr int kEnded = -1;    // the state of a text that has ended

// Streams in neighbouring slots, and the steps to take with them.
//
// The hidden values are double-buffered, because a step reads a layer's old values while it writes
// the new ones. The two copies are called banks. Between calls, bank 0 is the state. Each bank is
// contiguous: if a stream's two copies were neighbours, a core that reads one would prefetch cache
// lines of the other, which another core is about to write.
struct Batch {
  uint8_t* hidden;                    // [2 banks][depth][slot_rows][width], 128 + round(127 h)
  float* cell;                        // [stream][depth][width]
  const int64_t* last_ids;            // [stream], the first character to read
  const int64_t* forced_ids;          // [step][stream], the next character, or -1 to draw one
  const float* uniforms;              // [step][stream], random numbers in [0, 1) to draw with
  const int32_t* prompt_steps;        // [stream], first steps whose result nobody needs
  const float* inverse_temperatures;  // [stream]
  const int32_t* top_k;               // [stream], 1 to vocabulary_size
  const float* top_p;                 // [stream], 1 disables the filter
  const float* min_p;                 // [stream], 0 disables the filter
  const int32_t* alternatives;        // [stream], top alternatives of a score; -1 makes no score
  // Cell states that streams hold at a value, in every step after the prompt. All three are null
  // if no stream holds any.
  const int32_t* hold_counts;         // [stream], 0 to kMaxHolds
  const int32_t* hold_cells;          // [stream][kMaxHolds], layer * width + cell, all different
  const float* hold_values;           // [stream][kMaxHolds], the cell states
  // Constraints of the characters that are drawn. All three are null if no stream has one. After
  // the end of a stream's text, its ids and its state have no meaning.
  const Constraint* constraints;      // [stream]
  int32_t* pattern_states;            // in and out: [stream], kEnded after the end of the text
  int32_t* lengths;                   // out: [stream], steps up to the end; if none ends, unchanged
  // Cells whose states the caller wants after every step. All three are null if no stream has any.
  const int32_t* read_offsets;        // [stream + 1], where a stream's cells begin in `read_cells`
  const int32_t* read_cells;          // [read_offsets[streams]], layer * width + cell
  float* read_states;                 // out: [step][read_offsets[streams]], before tanh
  // Memories of streams that have one, which each step changes. Null if no stream has one.
  struct Memory* const* memories;     // [stream], null for a stream without
  int64_t* ids;                       // out: [step][stream]
  double* scores;                     // out: [step][stream][4 + 3 * max_alternatives]
  // Rows of one layer of `hidden`. A kernel may read a whole block from the last stream on, so
  // kMaxBlock - 1 rows of padding follow the last slot.
  int32_t slot_rows;
  int32_t streams;
  int32_t steps;
  int32_t max_alternatives;  // the most of any stream in `alternatives`, at least 0
};
