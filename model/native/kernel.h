// One instruction set's way to step streams, and what a worker of it needs.
#pragma once

#include "lstm.h"
#include "sampler.h"

class Barrier;

constexpr int kMostBlock = 16;  // streams stepped together
constexpr int kManyTiles = 16;  // of an output layer whose weights few streams' threads share

// A thread's share: of each layer a part of the tiles, of the results a part of the streams'.
struct Task {
  const Network& network;
  const Batch& batch;
  int part, parts;
  Barrier& barrier;  // where all of them meet
  Sampler& sampler;
  float* logits;         // [kMostBlock][outputs, padded]
  float* common_logits;  // likewise, of all threads
  float* weights;        // [outputs, padded]
};

void meet(Barrier& barrier);  // returns when all have come

struct Kernel {
  const char* name;
  bool (*available)();            // on this processor
  void (*run)(const Task&);       // all of the batch's steps
  void (*multiply)(const Task&);  // of them, the layers' products alone
};

extern const Kernel kAmxInt8, kAvx512Vnni, kAvxVnni, kAvx2, kNeonDot, kPlain;
