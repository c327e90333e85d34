// The memory of a stream: what followed the last characters before, and where the last characters
// occurred before. It starts empty and learns from every character that the stream reads.
//
// Each step mixes the model's distribution with the memory's. The mixture is log-linear: its logits
// are a weighted sum of both distributions' log-probabilities, and the weights learn online from each
// character (Mattern 2012, "Mixing strategies in data compression"). The README of this folder
// describes the algorithm, and tests/model/native/memory_reference.py is the same in Python.
//
// All arithmetic is in float32, in a fixed order and without fused operations. So the results have
// the same bits with every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr int kOrders = 4;            // contexts are the last 1 to 4 characters
constexpr int kContexts = 1 << 13;    // contexts that a memory holds
constexpr int kFollowers = 20;        // characters that it counts in a context
constexpr int kHistory = 1 << 15;     // characters in which it looks for a match
constexpr int kHeads = 1 << 14;       // entries of the index of the history
constexpr int kMatchHash = 4;         // characters whose last occurrence the index finds
constexpr int kMaxMatch = 31;         // longer matches count as this length
constexpr int kConfidences = 4;       // of a context, see `Prediction`
constexpr int kMaxMemoryVocabulary = 1 << 16;  // an id has 16 bits in the memory

// Counts of what followed a context. A cache line.
struct Context {
  uint16_t tag;  // bits of the context's hash; 0 if the entry is free
  uint16_t ids[kFollowers];
  uint8_t counts[kFollowers];  // 0 after the last follower
  uint8_t padding[2];
};
static_assert(sizeof(Context) == 64);

// The weights of the model's and of the memory's log-probabilities.
struct MixWeights {
  float model, memory;
};

// What a prediction leaves for learning from the character that follows.
struct Prediction {
  int32_t made;        // 0 or 1
  int32_t set;         // of the weights: by the longest context found, and how certain it is
  int32_t candidate;   // the character that followed the match, or -1
  float candidate_probability;
  float expected_model, expected_memory;  // means of the log-probabilities in the mixture
};

// The fixed part of a memory. Four arrays of floats with an element for each character follow, and
// then the contexts, the index and the history. A memory of zeros is empty.
struct alignas(64) Memory {
  int64_t read;          // number of characters that were read
  uint32_t match;        // position in the history after the match
  uint32_t match_length; // 0 if there is no match
  uint32_t hashes[kOrders];  // of the contexts, the shortest first
  float total, distinct;     // characters that were counted without a context
  Prediction prediction;
  MixWeights shared;
  MixWeights sets[(kOrders + 1) * kConfidences];  // added to `shared`
  float gains[kMaxMatch + 1];  // added to the candidate's logit, by the length of the match
};

// The size of a memory in bytes, a multiple of a cache line. 0 if there are too many characters.
int64_t memory_bytes(int vocabulary_size);

// Reads a character, learns from it, and mixes the logits of the character that follows. Returns
// the logits of the mixture, which are valid until the next call.
const float* mix_logits(Memory* memory, int64_t id, const float* logits, int vocabulary_size);
