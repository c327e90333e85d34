// The recurrence of an LSTM layer in training: what Python passes, and what a kernel computes.
//
// The products with the layer's inputs and the gradients of the weights do not depend on the order
// of the steps. They are single large products, which PyTorch computes at the processor's speed.
// What is left is the product of each step's hidden values with the recurrent weights, the gates,
// and the gradients of these.
#pragma once

#include <cstddef>
#include <cstdint>

#include "barrier.h"

using Bfloat16 = uint16_t;

constexpr int kUnits = 16;  // units of a block, which are computed together: a vector of floats
constexpr int kGates = 4;   // i, f, g, o, as in torch.nn.LSTM
constexpr int kPairs = 2;   // inputs whose weights lie side by side, as products in bfloat16 need
constexpr int kMultiple = 32;  // the hidden size must be a multiple of it

// One pass over a layer, forward or backward. T steps, B rows (sequences), H units. The gates of a
// row are in the order [unit block][gate][unit of the block], so that a block's gates are in two
// cache lines. Arrays are contiguous. Python: `CPass` in `model/pytorch/native_lstm.py`.
struct LstmPass {
  const Bfloat16* weights;  // (4 H, H): the recurrent weights in PyTorch's order
  // (T, B, 4 H). Forward: in, the sums of inputs and biases; out, the values of the gates.
  // Backward: in, the values of the gates; out, the gradients of their sums.
  Bfloat16* gates;
  Bfloat16* hidden;          // (T + 1, B, H), the first step is the initial state; not used backward
  float* cells;              // the same
  const Bfloat16* d_hidden;  // (T, B, H): gradients of the hidden values, backward only
  float* d_bias;             // (4 H,): gradients of the biases, backward only
  int32_t steps, batch_size, hidden_size;
};

// What the threads of a pass share. Each thread computes a range of the units for all rows. The
// result does not depend on the number of threads.
struct PassTask {
  const LstmPass& pass;
  Barrier& barrier;
  // The inputs of a step's product, `input_stride` values per row. The rows are padded to whole
  // register tiles. Even and odd steps have their own, since threads write those of one step while
  // others read those of the step before.
  Bfloat16* inputs[2];
  std::size_t input_stride;
  Bfloat16* packed;  // the recurrent weights as the kernel wants them, `packed_size` values
  float* d_cells;    // (B, H), backward only: gradients of the cells, from the step after
  int threads;
};

// Each function is called by every thread with its own index.
struct TrainingKernel {
  bool (*available)();
  void (*forward)(const PassTask& task, int thread);
  void (*backward)(const PassTask& task, int thread);
};

extern const TrainingKernel kAmxBf16;
