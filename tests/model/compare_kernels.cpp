// Steps random networks with every kernel that runs here and compares all bits with plain C++'s.
//
//   make sanitize   runs it under the thread sanitizer
//   aarch64-linux-gnu-g++ -std=c++20 -O2 -ffp-contract=off -Wno-psabi -static -o build/compare
//       tests/model/compare_kernels.cpp model/native/[!n]*.cpp model/native/neon_dot.cpp
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include "../../model/native/team.h"

namespace {

std::mt19937 random_bits(1);

double uniform(double low, double high) {
  return std::uniform_real_distribution(low, high)(random_bits);
}

// Memory on a cache line's bounds.
template <class T>
std::vector<T*> kept;

template <class T, class Fill>
T* fresh(std::size_t count, Fill fill) {
  void* memory = std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64);
  T* array = static_cast<T*>(memory);
  for (std::size_t i = 0; i < count; ++i) array[i] = T(fill());
  kept<T>.push_back(array);
  return array;
}

template <class T>
void release() {
  for (T* array : kept<T>) std::free(array);
  kept<T>.clear();
}

Product product(int tiles, int inputs) {
  const int outputs = tiles * kOutputs;
  int8_t* weights = fresh<int8_t>(std::size_t(outputs) * inputs, [] { return uniform(-63, 64); });
  int32_t* offsets = fresh<int32_t>(outputs, [] { return 0; });
  for (int tile = 0; tile < tiles; ++tile)
    for (int group = 0; group < inputs / kGroup; ++group)
      for (int i = 0; i < kOutputs * kGroup; ++i)
        offsets[tile * kOutputs + i / kGroup] -=
            128 * weights[(tile * (inputs / kGroup) + group) * kOutputs * kGroup + i];
  const auto small = [] { return uniform(-1e-4, 1e-4); };
  const auto bias = [] { return uniform(-2, 2); };
  return {weights, offsets, fresh<float>(outputs, small), fresh<float>(outputs, bias), tiles};
}

struct Outcome {
  std::vector<int64_t> ids;
  std::vector<double> scores;
  std::vector<uint8_t> hidden;
  std::vector<float> cell;
};

// Bytes before a page that nobody may touch: sanitizers do not see what assembly reads.
class Fenced {
 public:
  explicit Fenced(std::size_t bytes) : page_(sysconf(_SC_PAGESIZE)) {
    length_ = (bytes + page_ - 1) / page_ * page_;
    void* memory = mmap(nullptr, length_ + page_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    memory_ = static_cast<uint8_t*>(memory);
    if (mprotect(memory_ + length_, page_, PROT_NONE)) std::abort();
    bytes_ = memory_ + length_ - bytes;
  }
  ~Fenced() { munmap(memory_, length_ + page_); }
  Fenced(const Fenced&) = delete;

  uint8_t* bytes() { return bytes_; }

 private:
  std::size_t page_, length_;
  uint8_t *memory_, *bytes_;
};

Outcome step(const Kernel& kernel, const Network& network, const Batch& plan, int threads) {
  const std::size_t state = std::size_t(network.depth) * network.width;
  const int rows = plan.streams + 15;
  Fenced fenced(rows * 2 * state);
  uint8_t* hidden = fenced.bytes();
  std::memset(hidden, 128, rows * 2 * state);
  float* cell = fresh<float>(plan.streams * state, [] { return 0; });
  Outcome outcome;
  outcome.ids.resize(plan.steps * plan.streams);
  outcome.scores.resize(outcome.ids.size() * (4 + 2 * plan.most_alternatives));
  Batch batch = plan;
  batch.hidden = hidden;
  batch.rows = rows;
  batch.cell = cell;
  batch.ids = outcome.ids.data();
  batch.scores = outcome.scores.data();
  Team team(kernel, network, threads);
  team.run(batch);
  for (int layer = 0; layer < network.depth; ++layer) {
    const uint8_t* own = hidden + std::size_t(layer) * rows * network.width;
    outcome.hidden.insert(outcome.hidden.end(), own, own + plan.streams * network.width);
  }
  outcome.cell.assign(cell, cell + plan.streams * state);
  return outcome;
}

bool same(const Outcome& a, const Outcome& b) {
  return a.ids == b.ids && a.scores == b.scores && a.hidden == b.hidden &&
         !std::memcmp(a.cell.data(), b.cell.data(), a.cell.size() * sizeof(float));
}

// Whether all kernels agree on one random network and batch.
bool compare(const std::vector<const Kernel*>& kernels) {
  const int depth = int(uniform(1, 5)), width = 16 * int(uniform(1, 12));
  const int characters = int(uniform(2, uniform(0, 1) < 0.5 ? 200 : 2000));
  const int streams = int(uniform(1, 20)), steps = 5;
  std::vector<Product> layers;
  for (int layer = 0; layer < depth; ++layer)
    layers.push_back(product(width / kLanes, width * (layer ? 2 : 1)));
  const Product output = product((characters + kOutputs - 1) / kOutputs, width);
  const float* table = fresh<float>(std::size_t(characters) * width * 4, [] {
    return uniform(-3, 3);
  });
  const Network network{table, layers.data(), &output, depth, width, characters};
  const bool forced_at_all = uniform(0, 1) < 0.5;
  Batch plan{};
  plan.last_ids = fresh<int64_t>(streams, [&] { return uniform(0, characters); });
  plan.forced = fresh<int64_t>(streams * steps, [&] {
    return forced_at_all ? uniform(0, characters) : -1;
  });
  plan.uniforms = fresh<float>(streams * steps, [] { return uniform(0, 1); });
  plan.first_steps = fresh<int32_t>(streams, [&] {
    return forced_at_all ? uniform(0, steps + 1) : 0;
  });
  plan.scales = fresh<float>(streams, [] { return uniform(0.5, 2); });
  plan.kept = fresh<int32_t>(streams, [&] { return uniform(1, characters + 1); });
  plan.top_p = fresh<float>(streams, [] { return uniform(0.5, 1.2); });
  plan.min_p = fresh<float>(streams, [] { return uniform(-0.1, 0.2); });
  plan.alternatives = fresh<int32_t>(streams, [] { return int(uniform(0, 4)) - 1; });
  plan.streams = streams;
  plan.steps = steps;
  plan.most_alternatives = 2;
  const Outcome expected = step(kPlain, network, plan, 1);
  bool agree = true;
  for (const Kernel* kernel : kernels)
    for (int threads = 1; threads <= 3; ++threads)
      if (!same(step(*kernel, network, plan, threads), expected)) {
        std::printf("%s, %d threads: another result at depth %d, width %d, streams %d\n",
                    kernel->name, threads, depth, width, streams);
        agree = false;
      }
  release<int8_t>(), release<uint8_t>(), release<int32_t>(), release<int64_t>(), release<float>();
  return agree;
}

}  // namespace

int main() {
  std::vector<const Kernel*> kernels;
  for (const Kernel* kernel : {&kAmxInt8, &kAvx512Vnni, &kAvxVnni, &kAvx2, &kNeonDot, &kPlain})
    if (kernel->available()) kernels.push_back(kernel);
  bool agree = true;
  for (int round = 0; round < 30; ++round) agree &= compare(kernels);
  for (const Kernel* kernel : kernels) std::printf("%s ", kernel->name);
  std::puts(agree ? "agree" : "DIFFER");
  return !agree;
}
