// A kernel: the code that steps streams with one instruction set, and what its threads need.
#pragma once

#include "lstm.h"
#include "sampler.h"

class Barrier;

// The fewest tiles of an output layer that is split among the threads if there are few streams.
constexpr int kMinSharedTiles = 16;

// What one thread works on. Of each layer it computes a range of tiles for all streams. Of each
// step's results it computes those of a range of streams.
struct Task {
  const Network& network;
  const Batch& batch;
  int thread, threads;  // index of this thread, number of threads
  Barrier& barrier;     // common to all threads
  Sampler& sampler;
  float* logits;         // [kMaxBlock][padded vocabulary], this thread's own
  float* shared_logits;  // [kMaxBlock][padded vocabulary], common to all threads
  float* exponentials;   // [padded vocabulary], this thread's own
};

// Waits until all threads have called it. A function rather than a method, so that the kernels'
// files need not include the standard library's templates (see step.h).
void arrive_and_wait(Barrier& barrier);

struct Kernel {
  const char* name;
  bool (*available)();                   // whether this processor and system support it
  void (*run)(const Task&);              // all steps of the batch
  void (*multiply_layers)(const Task&);  // only the layers' products, to measure the upper limit
};

extern const Kernel kAmxInt8, kAvx512Vnni, kAvxVnni, kAvx2, kNeonDot, kPlain;
