// The memory of a stream, in portable vectors of four floats.
#include "memory.h"

#include <algorithm>
#include <cstring>

#include "vectors.h"

namespace {

constexpr int kOrders = 4;            // contexts are the last 1 to 4 characters
constexpr int kContexts = 1 << 13;    // contexts that a memory holds
constexpr int kFollowers = 20;        // characters that it counts in a context
constexpr int kHistory = 1 << 15;     // characters in which it looks for a match
constexpr int kHeadBits = 14;         // of a hash of kOrders characters, whose last occurrence an
constexpr int kHeads = 1 << kHeadBits;  // index of this size finds
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
  int32_t set;         // of the weights: by the longest context found, and how certain it is
  int32_t candidate;   // the character that followed the match, or -1
  float candidate_probability;
  float expected_model, expected_memory;  // means of the log-probabilities in the mixture
};

}  // namespace

// The fixed part of a memory. Four arrays of floats with an element for each character follow, and
// then the contexts, the index and the history.
struct alignas(64) Memory {
  int64_t read;          // number of characters that were read
  uint32_t match;        // position in the history after the match
  uint32_t match_length; // 0 if there is no match
  uint32_t hashes[kOrders];  // of the contexts, the shortest first
  float total, distinct;     // characters that were counted without a context
  Prediction prediction;
  MixWeights shared;
  MixWeights sets[(kOrders + 1) * kConfidences];  // added to `shared`; [0] without a context
  float gains[kMaxMatch + 1];  // added to the candidate's logit, by the length of the match
};

namespace {

constexpr int kWidth = 4, kLanes = 16;  // floats in a vector; partial sums of a sum
using Floats = Vectors<kWidth>::Floats;
using Ints = Vectors<kWidth>::Ints;

constexpr float kDiscount = 0.7f;      // of each count, for characters that have not followed yet
constexpr float kPrior = 0.1f;         // added to the total of a context's counts
constexpr float kLeastLogit = -20.0f;  // relative to the highest, so that no surprise is too large
constexpr float kBanned = -1e4f;       // relative to the highest; the mixture keeps such a logit low
constexpr float kNever = -1e9f;
constexpr float kSharedRate = 0.003f, kSetRate = 0.001f, kGainRate = 0.03f;  // learning rates
constexpr float kMaxWeight = 3.0f;
constexpr uint8_t kMaxCount = 255;

int padded(int vocabulary_size) { return (vocabulary_size + kLanes - 1) / kLanes * kLanes; }

// The parts of a memory.
struct Parts {
  Parts(Memory* memory, int vocabulary_size)
      : size(padded(vocabulary_size)),
        counts(reinterpret_cast<float*>(memory + 1)),
        model(counts + size),
        remembered(model + size),
        mixed(remembered + size),
        contexts(reinterpret_cast<Context*>(mixed + size)),
        heads(reinterpret_cast<uint16_t*>(contexts + kContexts)),
        history(heads + kHeads) {}

  int size;           // padded number of characters
  float* counts;      // [character], without a context
  float* model;       // [character], logits of the model below the highest one
  float* remembered;  // [character], of the memory
  float* mixed;       // [character], logits of the mixture
  Context* contexts;
  uint16_t* heads;    // position in the history after the last occurrence, or 0
  uint16_t* history;  // ids, in a ring
};

template <class T>
Floats load(const T* from) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}

void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

Floats splat(float x) { return Floats{} + x; }

// The natural logarithm of positive, normal numbers: x = 2^n m with m in [0.7, 1.4], and
// log m = 2 artanh((m - 1) / (m + 1)), as a series of four terms. Relative error: 1e-7.
Floats logarithm(Floats x) {
  const Ints bits = Ints(x) - 0x3f330000;  // 0.7
  const Ints exponent = bits >> 23;
  const Floats m = Floats(Ints(x) - (exponent << 23));
  const Floats t = (m - 1.0f) / (m + 1.0f), u = t * t;
  const Floats series = ((u * (1 / 7.0f) + 1 / 5.0f) * u + 1 / 3.0f) * u + 1.0f;
  return __builtin_convertvector(exponent, Floats) * 0.69314718f + t * 2.0f * series;
}

// e^x for x <= 0, and 0 for x < -80: 2^n e^r with |r| <= log(2) / 2, as a series.
Floats exponential(Floats x) {
  const Floats low = x < -80.0f ? splat(-80.0f) : x;
  const Floats whole = low * 1.44269504f + 12582912.0f;  // 1.5 * 2^23 rounds to an integer
  const Floats r = low - (whole - 12582912.0f) * 0.69314718f;
  Floats series = splat(1 / 720.0f);
  for (const float term : {1 / 120.0f, 1 / 24.0f, 1 / 6.0f, 1 / 2.0f, 1.0f, 1.0f})
    series = series * r + term;
  const Floats power = Floats(Ints(series) + (Ints(whole) << 23));
  return x < -80.0f ? Floats{} : power;
}

float logarithm_of(float x) { return logarithm(splat(x))[0]; }

float bounded(float x, float low, float high) { return std::max(low, std::min(x, high)); }

uint16_t tag_of(uint32_t hash) { return uint16_t(hash >> 16 | 1); }

// The two entries where a context may be.
Context* entry(const Parts& parts, uint32_t hash, int way) {
  return &parts.contexts[(hash % kContexts) ^ way];
}

Context* find(const Parts& parts, uint32_t hash) {
  for (int way = 0; way < 2; ++way)
    if (entry(parts, hash, way)->tag == tag_of(hash)) return entry(parts, hash, way);
  return nullptr;
}

int total_of(const Context& context) {
  int total = 0;
  for (int i = 0; i < kFollowers; ++i) total += context.counts[i];
  return total;
}

// Takes the entry that has counted less. The other one loses a quarter of its counts, so that
// contexts that do not occur any more make room.
Context* replace(const Parts& parts, uint32_t hash) {
  Context *first = entry(parts, hash, 0), *second = entry(parts, hash, 1);
  if (total_of(*second) < total_of(*first)) std::swap(first, second);
  if (first->tag)
    for (uint8_t& count : second->counts) count -= count >> 2;
  *first = {};
  first->tag = tag_of(hash);
  return first;
}

// Counts a character in a context. Returns whether it had followed it before.
bool count(Context& context, uint16_t id) {
  int i = 0, least = 0;
  for (; i < kFollowers && context.counts[i] && context.ids[i] != id; ++i)
    if (context.counts[i] <= context.counts[least]) least = i;
  const bool known = i < kFollowers && context.counts[i];
  if (i == kFollowers) i = least;
  context.ids[i] = id;
  context.counts[i] = known ? context.counts[i] + 1 : 1;
  if (context.counts[i] == kMaxCount)
    for (uint8_t& each : context.counts) each -= each >> 1;
  return known;
}

void start(Memory* memory) {
  memory->shared = {1, 0};
  for (int length = 1; length <= kMaxMatch; ++length)
    memory->gains[length] = logarithm_of(1.0f + 0.2f * float(length));
}

void add_bounded(float& weight, float change) {
  weight = bounded(weight + change, -kMaxWeight, kMaxWeight);
}

// Moves the weights along the gradient of the log-probability of the character that followed.
void learn_weights(Memory* memory, const Parts& parts, int64_t id) {
  const Prediction& made = memory->prediction;
  const float model = parts.model[id] - made.expected_model;
  const float remembered = parts.remembered[id] - made.expected_memory;
  MixWeights& set = memory->sets[made.set];
  add_bounded(memory->shared.model, kSharedRate * model);
  add_bounded(memory->shared.memory, kSharedRate * remembered);
  add_bounded(set.model, kSetRate * model);
  add_bounded(set.memory, kSetRate * remembered);
  if (made.candidate < 0) return;
  const float error = float(id == made.candidate) - made.candidate_probability;
  memory->gains[std::min<uint32_t>(memory->match_length, kMaxMatch)] += kGainRate * error;
}

// Counts the character in the longest context, and in shorter ones up to the first in which it had
// been counted before (update exclusion, Moffat 1990).
void learn_counts(Memory* memory, const Parts& parts, int64_t id) {
  for (int order = int(std::min<int64_t>(kOrders, memory->read)); order > 0; --order) {
    const uint32_t hash = memory->hashes[order - 1];
    Context* context = find(parts, hash);
    if (!context) context = replace(parts, hash);
    if (count(*context, uint16_t(id))) return;
  }
  memory->total += 1;
  memory->distinct += parts.counts[id] == 0;
  parts.counts[id] += 1;
}

uint16_t read_back(const Parts& parts, int64_t position) {
  return parts.history[position & (kHistory - 1)];
}

// Appends the character to the history, and computes the hashes of the contexts that it ends.
void append(Memory* memory, const Parts& parts, int64_t id) {
  parts.history[memory->read & (kHistory - 1)] = uint16_t(id);
  ++memory->read;
  uint32_t hash = 0;
  for (int order = 1; order <= kOrders; ++order) {
    hash = (hash + read_back(parts, memory->read - order) + 1) * 2654435761u;
    hash ^= hash >> 15;
    memory->hashes[order - 1] = (hash + order) * 0x85ebca6bu;
    memory->hashes[order - 1] ^= memory->hashes[order - 1] >> 13;
    for (int way = 0; way < 2; ++way)
      __builtin_prefetch(entry(parts, memory->hashes[order - 1], way));
  }
}

// Extends the match by the character that was read, or looks for a new one.
void update_match(Memory* memory, const Parts& parts, int64_t id) {
  const bool goes_on = memory->match_length && read_back(parts, memory->match) == id;
  memory->match_length += goes_on ? 1 : -memory->match_length;
  memory->match += goes_on;
  if (memory->read < kOrders) return;
  uint16_t& head = parts.heads[memory->hashes[kOrders - 1] >> (32 - kHeadBits)];
  const uint16_t next = uint16_t((memory->read & (kHistory - 1)) + 1);
  if (!goes_on && head && head != next) {  // an old head may point to where the next id will be
    memory->match = head - 1u;
    int64_t length = 0;
    while (length < kMaxMatch && read_back(parts, int64_t{head} - 2 - length) ==
                                     read_back(parts, memory->read - 1 - length))
      ++length;
    if (length >= kOrders) memory->match_length = uint32_t(length);
  }
  head = next;
}

void read(Memory* memory, const Parts& parts, int64_t id) {
  if (!memory->read)
    start(memory);
  else if (parts.mixed[id] > kNever / 2)  // a character that may not follow says nothing of weights
    learn_weights(memory, parts, id);
  learn_counts(memory, parts, id);
  append(memory, parts, id);
  update_match(memory, parts, id);
}

// How certain a context is: whether only one character followed it, and how often.
int confidence_of(int distinct, int total) {
  return distinct > 1 ? 0 : total > 3 ? 3 : total > 1 ? 2 : 1;
}

// Computes the memory's probabilities into `remembered`. Returns the set of weights.
//
// Each context gives the discounted counts of its followers, and the rest to the next shorter one:
// absolute discounting, as in the interpolated models of Kneser and Ney 1995 and Teh 2006.
int predict_counts(const Memory* memory, const Parts& parts, int vocabulary_size) {
  const Context* found[kOrders + 1] = {};
  float scales[kOrders + 1], rest = 1;
  int set = 0;
  for (int order = int(std::min<int64_t>(kOrders, memory->read)); order > 0; --order) {
    if (!(found[order] = find(parts, memory->hashes[order - 1]))) continue;
    int distinct = 0;
    while (distinct < kFollowers && found[order]->counts[distinct]) ++distinct;
    const int total = total_of(*found[order]);
    if (!set) set = order * kConfidences + confidence_of(distinct, total);
    scales[order] = rest / (float(total) + kPrior);
    rest = scales[order] * (kPrior + kDiscount * float(distinct));
  }
  const float scale = rest / (memory->total + kPrior);
  const float base =
      scale * (kPrior + kDiscount * memory->distinct) / float(vocabulary_size);
  for (int id = 0; id < parts.size; id += kWidth) {
    const Floats counted = load(parts.counts + id) - kDiscount;
    store(parts.remembered + id, base + scale * (counted > 0.0f ? counted : Floats{}));
  }
  for (int order = 1; order <= kOrders; ++order) {
    if (!found[order]) continue;
    for (int i = 0; i < kFollowers && found[order]->counts[i]; ++i)
      parts.remembered[found[order]->ids[i]] +=
          scales[order] * (float(found[order]->counts[i]) - kDiscount);
  }
  return set;
}

float highest_of(const float* values, int size) {
  Floats highest = load(values);
  for (int i = kWidth; i < size; i += kWidth) {
    const Floats next = load(values + i);
    highest = next > highest ? next : highest;
  }
  return std::max({highest[0], highest[1], highest[2], highest[3]});
}

// Sums in a fixed order: 16 partial sums, and then these from the first to the last.
struct Sum {
  Floats parts[kLanes / kWidth] = {};
  float value() const {
    float lanes[kLanes], sum = 0;
    std::memcpy(lanes, parts, sizeof lanes);
    for (const float lane : lanes) sum += lane;
    return sum;
  }
};

void predict(Memory* memory, const Parts& parts, const float* logits, int vocabulary_size) {
  Prediction& made = memory->prediction;
  made.set = predict_counts(memory, parts, vocabulary_size);
  const MixWeights& set = memory->sets[made.set];
  const float model_weight = bounded(memory->shared.model + set.model, 0, kMaxWeight);
  const float memory_weight = bounded(memory->shared.memory + set.memory, 0, kMaxWeight);
  std::memcpy(parts.mixed, logits, vocabulary_size * sizeof(float));
  std::fill(parts.mixed + vocabulary_size, parts.mixed + parts.size, kNever);
  const float highest = highest_of(parts.mixed, parts.size);
  for (int id = 0; id < parts.size; id += kWidth) {
    const Floats logit = load(parts.mixed + id) - highest;
    const Floats model = logit < kLeastLogit ? splat(kLeastLogit) : logit;
    const Floats remembered = logarithm(load(parts.remembered + id));
    store(parts.model + id, model);
    store(parts.remembered + id, remembered);
    store(parts.mixed + id, logit < kBanned ? splat(kNever)
                                            : model_weight * model + memory_weight * remembered);
  }
  made.candidate = memory->match_length ? read_back(parts, memory->match) : -1;
  if (made.candidate >= 0)
    parts.mixed[made.candidate] +=
        memory->gains[std::min<uint32_t>(memory->match_length, kMaxMatch)];

  const float top = highest_of(parts.mixed, parts.size);
  Sum total, model_moment, memory_moment;
  for (int id = 0; id < parts.size; id += kWidth) {
    const int part = id % kLanes / kWidth;
    const Floats power = exponential(load(parts.mixed + id) - top);
    total.parts[part] += power;
    model_moment.parts[part] += power * load(parts.model + id);
    memory_moment.parts[part] += power * load(parts.remembered + id);
  }
  const float sum = total.value();
  made.expected_model = model_moment.value() / sum;
  made.expected_memory = memory_moment.value() / sum;
  made.candidate_probability =
      made.candidate < 0 ? 0 : exponential(splat(parts.mixed[made.candidate] - top))[0] / sum;
}

}  // namespace

int64_t memory_bytes(int vocabulary_size) {
  if (vocabulary_size > kMaxMemoryVocabulary) return 0;
  const int64_t floats = 4 * int64_t{padded(vocabulary_size)} * int64_t(sizeof(float));
  return int64_t(sizeof(Memory)) + floats + kContexts * int64_t(sizeof(Context)) +
         (kHeads + kHistory) * int64_t(sizeof(uint16_t));
}

const float* mix_logits(Memory* memory, int64_t id, const float* logits, int vocabulary_size) {
  const Parts parts(memory, vocabulary_size);
  read(memory, parts, id);
  predict(memory, parts, logits, vocabulary_size);
  return parts.mixed;
}
