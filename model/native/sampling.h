// From logits to the next id and its score, by the rules of `model/choice/sampling_params.py` and
// `model/choice/scores.py`.
#pragma once

#include <cstdint>

#include "barrier.h"
#include "lstm.h"

// Character ids by falling logit; equal logits by rising id. Sorts only as far as it is read.
class Ranking {
 public:
  explicit Ranking(int max_count) { keys_.reserve(max_count); }
  // Ranks the ids 0 to count - 1. Only the first `top_k` positions may be read.
  void start(const float* logits, int count, int top_k);
  // The id at a position, counted from 0.
  int id(int position);

 private:
  void insert(const float* logits, int count, int top_k);

  LineVector<uint64_t> keys_;
  int sorted_ = 0;  // sorted keys, which are at the end of keys_, the first position last
};

// Writes the logits of the characters that a stream with a constraint may draw now, biases included.
// The others get minus infinity, unless the text may end: then they stand for its end.
void constrain_logits(const Constraint& constraint, int state, const float* logits, int count,
                      float* constrained);

class Sampler {
 public:
  explicit Sampler(int vocabulary_size)
      : candidates_(vocabulary_size + 1), alternatives_(vocabulary_size) {}

  // Writes a stream's id of a step, forced or drawn, into the batch, and its score if the stream
  // asks for scores. `exponentials` are proportional to the probabilities after temperature.
  void choose(const Network& network, const Batch& batch, int step, int stream,
              const float* logits, const float* exponentials);

  // Does the same for a stream with a constraint, and advances the state of its pattern.
  // `exponentials` are those of the logits that `constrain_logits` has written; one element more
  // is used for the end of the text.
  void choose_constrained(const Network& network, const Batch& batch, int step, int stream,
                          const float* logits, float* exponentials);

 private:
  // Applies top-k, top-p and min-p. The candidates that remain are the first ones of the ranking by
  // falling value.
  void filter(const Batch& batch, int stream, const float* values, int count);
  int draw(float uniform);
  double probability(int id);
  float exponential(int position) { return exponentials_[candidates_.id(position)]; }

  void score(const float* logits, int vocabulary_size, int id, int alternatives,
             int max_alternatives, double* values);

  Ranking candidates_, alternatives_;
  const float* values_ = nullptr;  // by which candidates are ranked
  const float* exponentials_ = nullptr;
  int count_ = 0;  // of the values
  int candidate_count_ = 0;
  double total_ = 0;  // sum of the candidates' exponentials
};
