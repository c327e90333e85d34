// Steps random networks with every kernel that this processor supports, and compares every bit of
// the results with those of the plain kernel. It needs no Python, so it also runs under the thread
// sanitizer and on emulated processors:
//
//   make sanitize
//   aarch64-linux-gnu-g++ -std=c++20 -O2 -ffp-contract=off -Wno-psabi -static -o build/compare
//       tests/model/native/compare_kernels.cpp model/native/*.cpp
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "../../../model/native/team.h"

namespace {

constexpr int64_t kPatience = 12'000'000;  // as in model/native/library.py

std::mt19937 random_bits(1);

double uniform(double low, double high) {
  return std::uniform_real_distribution(low, high)(random_bits);
}

template <class T>
std::vector<T*> allocated;

// Allocates an array that is aligned to a cache line. `release` frees it.
template <class T, class Fill>
T* allocate(std::size_t count, Fill fill) {
  void* memory = std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64);
  T* array = static_cast<T*>(memory);
  for (std::size_t i = 0; i < count; ++i) array[i] = T(fill());
  allocated<T>.push_back(array);
  return array;
}

template <class T>
void release() {
  for (T* array : allocated<T>) std::free(array);
  allocated<T>.clear();
}

Product random_product(int tiles, int inputs) {
  const int outputs = tiles * kTileOutputs;
  const auto weight = [] { return uniform(-63, 64); };
  int8_t* weights = allocate<int8_t>(std::size_t(outputs) * inputs, weight);
  int32_t* offsets = allocate<int32_t>(outputs, [] { return 0; });
  for (int tile = 0; tile < tiles; ++tile)
    for (int group = 0; group < inputs / kGroupInputs; ++group)
      for (int i = 0; i < kGroupBytes; ++i)
        offsets[tile * kTileOutputs + i / kGroupInputs] -=
            128 * weights[(tile * (inputs / kGroupInputs) + group) * kGroupBytes + i];
  const auto scale = [] { return uniform(-1e-4, 1e-4); };
  const auto bias = [] { return uniform(-2, 2); };
  return {weights, offsets, allocate<float>(outputs, scale), allocate<float>(outputs, bias), tiles};
}

// Everything that a batch's steps write.
struct Outcome {
  std::vector<int64_t> ids;
  std::vector<double> scores;
  std::vector<float> read_states;
  std::vector<uint8_t> hidden;
  std::vector<float> cell;
  std::vector<int32_t> pattern_states, lengths;
  std::vector<uint8_t> memories;
};

// Bytes that end at an inaccessible page, so that a read past their end crashes. Sanitizers do not
// check the reads of inline assembly.
class FencedMemory {
 public:
  explicit FencedMemory(std::size_t bytes) : page_(sysconf(_SC_PAGESIZE)) {
    length_ = (bytes + page_ - 1) / page_ * page_;
    void* memory = mmap(nullptr, length_ + page_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    memory_ = static_cast<uint8_t*>(memory);
    if (mprotect(memory_ + length_, page_, PROT_NONE)) std::abort();
    bytes_ = memory_ + length_ - bytes;
  }
  ~FencedMemory() { munmap(memory_, length_ + page_); }
  FencedMemory(const FencedMemory&) = delete;

  uint8_t* bytes() { return bytes_; }

 private:
  std::size_t page_, length_;
  uint8_t *memory_, *bytes_;
};

// Takes the steps several times from the same state, each time with another part of the team.
// Without patience, the team halves its number of threads after each step.
Outcome run_steps(const Kernel& kernel, const Network& network, const Batch& plan, int threads,
                  int64_t patience) {
  const std::size_t state = std::size_t(network.depth) * network.width;
  const int slot_rows = plan.streams + kMaxBlock - 1;
  FencedMemory fenced(slot_rows * 2 * state);
  uint8_t* hidden = fenced.bytes();
  float* cell = allocate<float>(plan.streams * state, [] { return 0; });
  Outcome outcome;
  outcome.ids.resize(plan.steps * plan.streams);
  outcome.scores.resize(outcome.ids.size() * (4 + 3 * plan.max_alternatives));
  Batch batch = plan;
  batch.hidden = hidden;
  batch.slot_rows = slot_rows;
  batch.cell = cell;
  batch.ids = outcome.ids.data();
  batch.scores = outcome.scores.data();
  if (batch.read_offsets) {
    outcome.read_states.resize(plan.steps * batch.read_offsets[plan.streams]);
    batch.read_states = outcome.read_states.data();
  }
  const std::size_t bytes = memory_bytes(network.vocabulary_size);
  uint8_t* memories = nullptr;
  std::vector<Memory*> column(plan.streams);
  if (plan.memories) {
    memories = allocate<uint8_t>(plan.streams * bytes, [] { return 0; });
    for (int stream = 0; stream < plan.streams; ++stream)
      if (plan.memories[stream])
        column[stream] = reinterpret_cast<Memory*>(memories + stream * bytes);
    batch.memories = column.data();
  }
  Team team(kernel, network, threads);
  std::vector<int> parts = {threads};
  if (threads > 1) parts = {1 + threads / 2, 1, threads};
  for (int part : parts) {
    outcome.pattern_states.assign(plan.streams, 0);
    outcome.lengths.assign(plan.streams, plan.steps);
    batch.pattern_states = outcome.pattern_states.data();
    batch.lengths = outcome.lengths.data();
    std::memset(hidden, kZeroCode, slot_rows * 2 * state);
    std::fill_n(cell, plan.streams * state, 0.0f);
    if (memories) std::memset(memories, 0, plan.streams * bytes);
    team.run(batch, part, patience);
  }
  for (int layer = 0; layer < network.depth; ++layer) {
    const uint8_t* own = hidden + std::size_t(layer) * slot_rows * network.width;
    outcome.hidden.insert(outcome.hidden.end(), own, own + plan.streams * network.width);
  }
  outcome.cell.assign(cell, cell + plan.streams * state);
  if (memories) outcome.memories.assign(memories, memories + plan.streams * bytes);
  return outcome;
}

bool same(const Outcome& a, const Outcome& b) {
  return a.ids == b.ids && a.scores == b.scores && a.hidden == b.hidden &&
         a.pattern_states == b.pattern_states && a.lengths == b.lengths &&
         a.read_states == b.read_states && a.memories == b.memories &&
         !std::memcmp(a.cell.data(), b.cell.data(), a.cell.size() * sizeof(float));
}

// Makes some of the streams hold different cells of the network at random values.
void hold_cells(Batch& plan, int streams, int cells) {
  plan.hold_counts = allocate<int32_t>(streams, [] {
    return uniform(0, 1) < 0.5 ? 0 : uniform(1, kMaxHolds + 1);
  });
  plan.hold_values = allocate<float>(streams * kMaxHolds, [] { return uniform(-8, 8); });
  int32_t* held = allocate<int32_t>(streams * kMaxHolds, [] { return 0; });
  for (int i = 0; i < streams * kMaxHolds; i += kMaxHolds) {
    const int first = int(uniform(0, cells)), distance = int(uniform(1, cells / kMaxHolds + 1));
    for (int j = 0; j < kMaxHolds; ++j) held[i + j] = (first + j * distance) % cells;
  }
  plan.hold_cells = held;
}

// Gives some of the streams random patterns and biases.
void constrain(Batch& plan, int streams, int vocabulary_size) {
  Constraint* constraints = allocate<Constraint>(streams, [] { return Constraint{}; });
  for (int stream = 0; stream < streams; ++stream) {
    if (uniform(0, 1) < 0.5) continue;
    const int states = int(uniform(1, 5)), classes = int(uniform(1, 6));
    int32_t* next = allocate<int32_t>(states * classes, [&] { return uniform(kFinal, states); });
    for (int state = 0; state < states; ++state)  // a match can be reached from every state
      next[state * classes] = uniform(0, 1) < 0.1 ? kFinal : int(uniform(0, states));
    int32_t* class_of = allocate<int32_t>(vocabulary_size, [&] { return uniform(0, classes); });
    class_of[0] = 0;
    const int32_t* may_end = allocate<int32_t>(states, [] { return uniform(0, 2); });
    const float* biases = allocate<float>(vocabulary_size, [] { return uniform(-3, 3); });
    constraints[stream] = {next, class_of, may_end, uniform(0, 1) < 0.5 ? biases : nullptr,
                           classes};
  }
  plan.constraints = constraints;
}

// Makes some of the streams read cells of the network.
void read_cells(Batch& plan, int streams, int cells) {
  int count = 0;
  plan.read_offsets = allocate<int32_t>(streams + 1, [&] {
    const int begin = count;
    count += uniform(0, 1) < 0.5 ? 0 : int(uniform(1, 40));
    return begin;
  });
  plan.read_cells = allocate<int32_t>(count, [&] { return uniform(0, cells); });
}

// Whether all kernels agree on one random network and batch.
bool kernels_agree(const std::vector<const Kernel*>& kernels) {
  const int depth = int(uniform(1, 5)), width = 16 * int(uniform(1, 12));
  const int vocabulary_size = int(uniform(2, uniform(0, 1) < 0.5 ? 200 : 2000));
  const int streams = int(uniform(1, 70)), steps = 5;
  std::vector<Product> layers;
  for (int layer = 0; layer < depth; ++layer)
    layers.push_back(random_product(width / kLanes, width * (layer ? 2 : 1)));
  const Product output = random_product((vocabulary_size + kTileOutputs - 1) / kTileOutputs, width);
  const float* table = allocate<float>(std::size_t(vocabulary_size) * width * 4, [] {
    return uniform(-3, 3);
  });
  const Network network{table, layers.data(), &output, depth, width, vocabulary_size};
  const bool has_forced_ids = uniform(0, 1) < 0.5;
  Batch plan{};
  plan.last_ids = allocate<int64_t>(streams, [&] { return uniform(0, vocabulary_size); });
  plan.forced_ids = allocate<int64_t>(streams * steps, [&] {
    return has_forced_ids ? uniform(0, vocabulary_size) : -1;
  });
  plan.uniforms = allocate<float>(streams * steps, [] { return uniform(0, 1); });
  plan.prompt_steps = allocate<int32_t>(streams, [&] {
    return has_forced_ids ? uniform(0, steps + 1) : 0;
  });
  plan.inverse_temperatures = allocate<float>(streams, [] { return uniform(0.5, 2); });
  plan.top_k = allocate<int32_t>(streams, [&] { return uniform(1, vocabulary_size + 1); });
  plan.top_p = allocate<float>(streams, [] { return uniform(0.5, 1.2); });
  plan.min_p = allocate<float>(streams, [] { return uniform(-0.1, 0.2); });
  plan.alternatives = allocate<int32_t>(streams, [] { return int(uniform(0, 4)) - 1; });
  if (uniform(0, 1) < 0.7) hold_cells(plan, streams, depth * width);
  if (uniform(0, 1) < 0.5) constrain(plan, streams, vocabulary_size);
  if (uniform(0, 1) < 0.7) read_cells(plan, streams, depth * width);
  Memory* const any = reinterpret_cast<Memory*>(&plan);
  std::vector<Memory*> memories(streams);
  for (Memory*& memory : memories) memory = uniform(0, 1) < 0.5 ? any : nullptr;
  if (uniform(0, 1) < 0.3) plan.memories = memories.data();  // run_steps replaces them
  plan.streams = streams;
  plan.steps = steps;
  plan.max_alternatives = 2;
  const Outcome expected = run_steps(kPlain, network, plan, 1, kPatience);
  bool agree = true;
  for (const Kernel* kernel : kernels)
    for (int threads : {1, 2, 3, int(uniform(4, 17))}) {
      const int64_t patience = uniform(0, 1) < 0.5 ? kPatience : 0;
      if (kernel == &kPlain && threads == 1) continue;  // it is what all others are compared with
      if (!same(run_steps(*kernel, network, plan, threads, patience), expected)) {
        std::printf("%s, %d threads: result differs at depth %d, width %d, streams %d\n",
                    kernel->name, threads, depth, width, streams);
        agree = false;
      }
    }
  release<int8_t>(), release<uint8_t>(), release<int32_t>(), release<int64_t>(), release<float>(),
      release<Constraint>();
  return agree;
}

}  // namespace

// Takes the number of rounds, 30 by default. Each round compares random networks.
int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 30;
  std::vector<const Kernel*> kernels;
  for (const Kernel* kernel : {&kAmxInt8, &kAvx512Vnni, &kAvxVnni, &kAvx2, &kNeonDot, &kPlain})
    if (kernel->available()) kernels.push_back(kernel);
  bool agree = true;
  for (int round = 0; round < rounds; ++round) agree &= kernels_agree(kernels);
  for (const Kernel* kernel : kernels) std::printf("%s ", kernel->name);
  std::puts(agree ? "agree" : "DIFFER");
  return !agree;
}
