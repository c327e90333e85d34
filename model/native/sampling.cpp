// Top-k, top-p, min-p, the draw and the score.
#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

namespace {

// Up to this many positions, insertion into a sorted list is faster than a heap of all ids.
constexpr int kMaxInserted = 16;

// A number that rises as the logit falls, and with the id among equal logits. The bits of a
// non-negative float are ordered as its value; those of a negative one in reverse.
uint64_t sort_key(float logit, int id) {
  uint32_t bits;
  logit += 0.0f;  // turns -0 into 0
  std::memcpy(&bits, &logit, sizeof bits);
  bits = bits >> 31 ? bits : ~(bits | 0x80000000u);
  return uint64_t{bits} << 32 | uint32_t(id);
}

// Replaces minus infinity and NaN, which JSON cannot represent.
double json_number(double value) { return value > -1e9 ? value : -1e9; }

}  // namespace

void Ranking::start(const float* logits, int count, int top_k) {
  if (top_k <= kMaxInserted) return insert(logits, count, top_k);
  keys_.resize(count);
  for (int id = 0; id < count; ++id) keys_[id] = sort_key(logits[id], id);
  std::make_heap(keys_.begin(), keys_.end(), std::greater<>());
  sorted_ = 0;
}

int Ranking::id(int position) {
  for (; sorted_ <= position; ++sorted_)
    std::pop_heap(keys_.begin(), keys_.end() - sorted_, std::greater<>());
  return int(uint32_t(keys_[keys_.size() - 1 - position]));
}

void Ranking::insert(const float* logits, int count, int top_k) {
  keys_.assign(top_k, UINT64_MAX);
  for (int id = 0; id < count && top_k > 0; ++id) {
    const uint64_t key = sort_key(logits[id], id);
    if (key >= keys_[0]) continue;
    int index = 0;
    for (; index + 1 < top_k && keys_[index + 1] > key; ++index) keys_[index] = keys_[index + 1];
    keys_[index] = key;
  }
  sorted_ = top_k;
}

void Sampler::choose(const Network& network, const Batch& batch, int step, int stream,
                     const float* logits, const float* exponentials) {
  const std::size_t index = std::size_t(step) * batch.streams + stream;
  const int alternatives = batch.alternatives[stream];
  int64_t id = batch.forced_ids[index];
  if (id < 0 || alternatives >= 0) {
    exponentials_ = exponentials;
    filter(batch, stream, logits, network.vocabulary_size);
  }
  if (id < 0) id = draw(batch.uniforms[index]);
  if (alternatives >= 0) {
    double* values = batch.scores + index * (4 + 3 * batch.max_alternatives);
    score(logits, network.vocabulary_size, int(id), alternatives, batch.max_alternatives, values);
  }
  batch.ids[index] = id;
}

void Sampler::filter(const Batch& batch, int stream, const float* values, int count) {
  values_ = values;
  count_ = count;
  candidate_count_ = batch.top_k[stream];
  candidates_.start(values, count, candidate_count_);
  total_ = 0;
  if (candidate_count_ == count) {
    for (int id = 0; id < count; ++id) total_ += exponentials_[id];
  } else {
    for (int position = 0; position < candidate_count_; ++position) total_ += exponential(position);
  }
  const float top_p = batch.top_p[stream], min_p = batch.min_p[stream];
  if (top_p >= 1 && min_p <= 0) return;
  const double limit = top_p * total_;
  const float lowest = min_p * exponential(0);
  int position = 1;
  for (total_ = exponential(0); position < candidate_count_ && total_ < limit &&
                                exponential(position) >= lowest; ++position)
    total_ += exponential(position);
  candidate_count_ = position;
}

// Inverts the cumulative distribution of the candidates.
int Sampler::draw(float uniform) {
  const double target = uniform * total_;
  double sum = 0;
  int drawn = candidates_.id(0);
  for (int position = 0;
       position < candidate_count_ && sum <= target && exponential(position) > 0; ++position) {
    drawn = candidates_.id(position);
    sum += exponential(position);
  }
  return drawn;
}

// The probability of an id after temperature and filters.
double Sampler::probability(int id) {
  if (candidate_count_ < count_) {
    const int last = candidates_.id(candidate_count_ - 1);
    if (sort_key(values_[id], id) > sort_key(values_[last], last)) return 0;
  }
  return exponentials_[id] / total_;
}

// Writes logprob, rank, entropy, probability after filters, the ids of the top alternatives, their
// logprobs and their probabilities after filters, as `model/choice/scores.py` describes them.
void Sampler::score(const float* logits, int vocabulary_size, int id, int alternatives,
                    int max_alternatives, double* values) {
  const double highest = *std::max_element(logits, logits + vocabulary_size);
  double total = 0, moment = 0;
  int rank = 1;
  for (int i = 0; i < vocabulary_size; ++i) {
    const double power = std::exp(logits[i] - highest);
    total += power;
    if (power > 0) moment += power * (logits[i] - highest);
    rank += logits[i] > logits[id];
  }
  const double log_total = std::log(total);
  const auto logprob = [&](int i) { return json_number(logits[i] - highest - log_total); };
  values[0] = logprob(id);
  values[1] = rank;
  values[2] = json_number(log_total - moment / total);
  values[3] = json_number(probability(id));
  alternatives_.start(logits, vocabulary_size, alternatives);
  for (int position = 0; position < alternatives; ++position) {
    const int alternative = alternatives_.id(position);
    double* value = values + 4 + position;
    value[0] = alternative;
    value[max_alternatives] = logprob(alternative);
    value[2 * max_alternatives] = json_number(probability(alternative));
  }
}
