// Passes over random LSTM layers with one and with several threads, and compares every bit of the
// results. Run under the thread sanitizer: make sanitize-threads
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "../../../model/native/training.h"

extern "C" int charstream_trains();
extern "C" int charstream_train_forward(const LstmPass* pass, int threads);
extern "C" int charstream_train_backward(const LstmPass* pass, int threads);

namespace {

Bfloat16 to_bfloat16(float value) {  // truncates
  uint32_t bits;
  static_assert(sizeof bits == sizeof value);
  std::copy_n(reinterpret_cast<char*>(&value), sizeof bits, reinterpret_cast<char*>(&bits));
  return Bfloat16(bits >> 16);
}

struct Layer {
  Layer(int steps, int batch_size, int hidden_size, unsigned seed) {
    std::mt19937 random_bits(seed);
    const auto fill = [&](std::vector<Bfloat16>& values, std::size_t count, float range) {
      std::uniform_real_distribution<float> uniform(-range, range);
      values.resize(count);
      for (Bfloat16& value : values) value = to_bfloat16(uniform(random_bits));
    };
    const std::size_t rows = std::size_t(steps) * batch_size;
    fill(weights, 4 * std::size_t(hidden_size) * hidden_size, 0.1f);
    fill(gates, rows * 4 * hidden_size, 2);
    fill(hidden, (rows + batch_size) * hidden_size, 1);
    fill(d_hidden, rows * hidden_size, 1);
    cells.assign((rows + batch_size) * hidden_size, 0.5f);
    d_bias.resize(4 * hidden_size);
    pass = {weights.data(), gates.data(), hidden.data(), cells.data(), d_hidden.data(),
            d_bias.data(), steps, batch_size, hidden_size};
  }

  // Returns whether the memory sufficed.
  bool run(int threads) {
    return charstream_train_forward(&pass, threads) && charstream_train_backward(&pass, threads);
  }

  bool equals(const Layer& other) const {
    return gates == other.gates && hidden == other.hidden && cells == other.cells &&
           d_bias == other.d_bias;
  }

  std::vector<Bfloat16> weights, gates, hidden, d_hidden;
  std::vector<float> cells, d_bias;
  LstmPass pass;
};

bool threads_agree(unsigned seed) {
  std::mt19937 random_bits(seed);
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution(low, high)(random_bits);
  };
  const int steps = between(1, 8), batch_size = between(1, 70), size = 32 * between(1, 5);
  Layer expected(steps, batch_size, size, seed);
  bool agree = expected.run(1);
  for (int threads : {2, 3, 8}) {
    Layer layer(steps, batch_size, size, seed);
    agree &= layer.run(threads) && layer.equals(expected);
  }
  return agree;
}

}  // namespace

// Takes the number of rounds, 30 by default. Two callers compute at the same time.
int main(int count, char** arguments) {
  if (!charstream_trains()) return std::puts("no kernel can train here"), 0;
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 30;
  bool agree = true, other_agrees = true;
  std::thread other([&] {
    for (int round = 0; round < rounds; ++round) other_agrees &= threads_agree(1000 + round);
  });
  for (int round = 0; round < rounds; ++round) agree &= threads_agree(round);
  other.join();
  std::puts(agree && other_agrees ? "threads agree" : "threads DIFFER");
  return !(agree && other_agrees);
}
