// A kernel: the code that steps streams with one instruction set, and what its threads need.
#pragma once

#include "lstm.h"
#include "memory.h"
#include "sampling.h"

class Meeting;

// The fewest tiles of an output layer that is split among the threads if there are few streams.
constexpr int kMinSharedTiles = 16;

// What one thread works on. Of each layer it computes a range of tiles for all streams. Of each
// step's results it computes those of a range of streams.
struct Task {
  const Network& network;
  const Batch& batch;
  const int thread;  // index of this thread
  int threads;       // number of threads, which may fall after a step
  Meeting& meeting;  // common to all threads
  Sampler& sampler;
  float* logits;         // [kMaxBlock][padded vocabulary], this thread's own
  float* shared_logits;  // [kMaxBlock][padded vocabulary], common to all threads
  float* exponentials;   // [padded vocabulary and one more], this thread's own
  float* constrained;    // [padded vocabulary], this thread's own
};

// These three wait until all threads have called them. They are functions rather than methods, so
// that the kernels' files need not include the standard library's templates (see step.h).
void meet(const Task& task);
// Also decides how many threads take the next steps. Each step has to call it before
// `meet_after_step`.
void meet_after_layer(const Task& task);
// Also sets the number of threads that take the next steps. Returns whether this thread is one.
bool meet_after_step(Task& task);

struct Kernel {
  const char* name;
  bool (*available)();             // whether this processor and system support it
  void (*run)(Task&);              // all steps of the batch
  void (*multiply_layers)(Task&);  // only the layers' products, to measure the upper limit
};

extern const Kernel kAmxInt8, kAvx512Vnni, kAvxVnni, kAvx2, kNeonDot, kPlain;
