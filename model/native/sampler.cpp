#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

namespace {

constexpr int kFew = 16;  // so many are found faster without a heap

// Rising keys are falling logits, then rising ids.
uint64_t key(float logit, int id) {
  uint32_t bits;
  logit += 0.0f;  // makes -0 a 0
  std::memcpy(&bits, &logit, sizeof bits);
  bits = bits >> 31 ? bits : ~(bits | 0x80000000u);
  return uint64_t{bits} << 32 | uint32_t(id);
}

// JSON carries no infinity.
double bounded(double figure) { return figure > -1e9 ? figure : -1e9; }

}  // namespace

void Order::start(const float* logits, int count, int kept) {
  if (kept <= kFew) return insert(logits, count, kept);
  keys_.resize(count);
  for (int id = 0; id < count; ++id) keys_[id] = key(logits[id], id);
  std::make_heap(keys_.begin(), keys_.end(), std::greater<>());
  sorted_ = 0;
}

int Order::id(int place) {
  for (; sorted_ <= place; ++sorted_)
    std::pop_heap(keys_.begin(), keys_.end() - sorted_, std::greater<>());
  return int(uint32_t(keys_[keys_.size() - 1 - place]));
}

void Order::insert(const float* logits, int count, int kept) {
  keys_.assign(kept, UINT64_MAX);
  for (int id = 0; id < count && kept > 0; ++id) {
    const uint64_t candidate = key(logits[id], id);
    if (candidate >= keys_[0]) continue;
    int place = 0;
    for (; place + 1 < kept && keys_[place + 1] > candidate; ++place)
      keys_[place] = keys_[place + 1];
    keys_[place] = candidate;
  }
  sorted_ = kept;
}

void Sampler::finish(const Network& network, const Batch& batch, int step, int stream,
                     const float* logits, const float* weights) {
  const std::size_t place = std::size_t(step) * batch.streams + stream;
  const int alternatives = batch.alternatives[stream];
  int64_t id = batch.forced[place];
  if (id < 0 || alternatives >= 0) {
    weights_ = weights;
    keep(batch, stream, logits, network.characters);
  }
  if (id < 0) id = draw(batch.uniforms[place]);
  if (alternatives >= 0) {
    double* figures = batch.scores + place * (4 + 2 * batch.most_alternatives);
    score(logits, network.characters, int(id), alternatives, batch.most_alternatives, figures);
  }
  batch.ids[place] = id;
}

void Sampler::keep(const Batch& batch, int stream, const float* logits, int count) {
  kept_ = batch.kept[stream];
  order_.start(logits, count, kept_);
  total_ = 0;
  if (kept_ == count) {
    for (int id = 0; id < count; ++id) total_ += weights_[id];
  } else {
    for (int place = 0; place < kept_; ++place) total_ += weight(place);
  }
  const float top_p = batch.top_p[stream], min_p = batch.min_p[stream];
  if (top_p >= 1 && min_p <= 0) return;
  const double limit = top_p * total_;
  const float lowest = min_p * weight(0);
  int place = 1;
  for (total_ = weight(0); place < kept_ && total_ < limit && weight(place) >= lowest; ++place)
    total_ += weight(place);
  kept_ = place;
}

int Sampler::draw(float uniform) {
  const double target = uniform * total_;
  double sum = 0;
  int drawn = order_.id(0);
  for (int place = 0; place < kept_ && sum <= target && weight(place) > 0; ++place) {
    drawn = order_.id(place);
    sum += weight(place);
  }
  return drawn;
}

double Sampler::probability(const float* logits, int count, int id) {
  if (kept_ < count) {  // what is kept is a first part of the order
    const int last = order_.id(kept_ - 1);
    if (key(logits[id], id) > key(logits[last], last)) return 0;
  }
  return weights_[id] / total_;
}

// The figures of `model.scores.score_rows`.
void Sampler::score(const float* logits, int count, int id, int alternatives, int most,
                    double* figures) {
  const double highest = *std::max_element(logits, logits + count);
  double total = 0, moment = 0;
  int rank = 1;
  for (int i = 0; i < count; ++i) {
    const double power = std::exp(logits[i] - highest);
    total += power;
    if (power > 0) moment += power * (logits[i] - highest);
    rank += logits[i] > logits[id];
  }
  const double normaliser = std::log(total);
  const auto logprob = [&](int i) { return bounded(logits[i] - highest - normaliser); };
  figures[0] = logprob(id);
  figures[1] = rank;
  figures[2] = bounded(normaliser - moment / total);
  figures[3] = bounded(probability(logits, count, id));
  named_.start(logits, count, alternatives);
  for (int place = 0; place < alternatives; ++place) {
    figures[4 + place] = named_.id(place);
    figures[4 + most + place] = logprob(named_.id(place));
  }
}
