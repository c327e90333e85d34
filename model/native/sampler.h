// From logits to an id, and to a score: the rules of `model/sampling.py` and `model/scores.py`.
#pragma once

#include <cstdint>
#include <vector>

#include "lstm.h"

// Ids by falling logit, ties by id; sorted only as far as somebody asks.
class Order {
 public:
  explicit Order(int most) { keys_.reserve(most); }
  // Of `count` ids, the first `kept`.
  void start(const float* logits, int count, int kept);
  int id(int place);

 private:
  void insert(const float* logits, int count, int kept);

  std::vector<uint64_t> keys_;
  int sorted_ = 0;  // keys at the end that are in their places, the lowest last
};

class Sampler {
 public:
  explicit Sampler(int characters) : order_(characters), named_(characters) {}
  // Puts the stream's id of a step, forced or drawn, into the batch, and its score if it wants one.
  // `weights` are the characters' probabilities times a number that is the same for all.
  void finish(const Network& network, const Batch& batch, int step, int stream,
              const float* logits, const float* weights);

 private:
  // The characters that pass a stream's filters are a first part of the order.
  void keep(const Batch& batch, int stream, const float* logits, int count);
  int draw(float uniform);
  double probability(const float* logits, int count, int id);
  float weight(int place) { return weights_[order_.id(place)]; }

  void score(const float* logits, int count, int id, int alternatives, int most, double* figures);

  Order order_, named_;
  const float* weights_ = nullptr;
  int kept_ = 0;
  double total_ = 0;  // of their weights
};
