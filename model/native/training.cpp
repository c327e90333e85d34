// The threads and the memory of a pass over an LSTM layer in training, and the functions that Python
// calls: `model/pytorch/native_lstm.py`.
#include "training.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>


#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {
constexpr int kRowPadding = 32;  // values, so that the rows of the inputs do not share cache sets
constexpr int kRowMultiple = 16;

using Work = void (*)(const PassTask&, int);

// Threads that help with passes, and sleep between them. New threads for each pass would often start
// on the caller's core. They run until the process ends.
class Helpers {
 public:
  // The helpers of this process. A forked process has none of its parent's threads.
  static Helpers& of_process() {
    static std::mutex mutex;
    static Helpers* helpers = nullptr;
    static pid_t owner = 0;
    const std::lock_guard lock(mutex);
    if (owner != getpid()) {
      helpers = new Helpers;
      owner = getpid();
    }
    return *helpers;
  }

  // Calls work(task, thread) in `threads` threads, or in fewer if the system cannot start so many,
  // and sets their number in the task. Another caller waits.
  void run(Work work, PassTask& task, int threads) {
    const std::lock_guard lock(mutex_);
    start(threads - 1);
    work_ = work;
    task_ = &task;
    task.threads = std::min(threads, int(helpers_.size()) + 1);
    advance_and_wake(calls_);
    work(task, 0);
    finished_.arrive_and_wait(int(helpers_.size()) + 1);
  }

 private:
  void start(int count) {
    try {
      while (int(helpers_.size()) < count)
        helpers_.emplace_back(&Helpers::help, this, int(helpers_.size()) + 1, calls_.load());
    } catch (const std::exception&) {  // no threads or no memory
    }
  }

  void help(int thread, unsigned calls) {
    for (;; ++calls) {
      calls_.wait(calls);
      if (thread < task_->threads) work_(*task_, thread);
      finished_.arrive_and_wait(int(helpers_.size()) + 1);
    }
  }

  std::mutex mutex_;
  std::vector<std::thread> helpers_;
  std::atomic<unsigned> calls_{0};
  Barrier finished_;
  Work work_ = nullptr;
  PassTask* task_ = nullptr;
};

void run_pass(Work work, const LstmPass& pass, int input_width, int threads, bool backward) {
  const std::size_t rows = (pass.batch_size + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
  const std::size_t width = pass.hidden_size, stride = input_width + kRowPadding;
  LineVector<Bfloat16> inputs(2 * rows * stride), packed(kGates * width * width);
  LineVector<float> d_cells(backward ? pass.batch_size * width : 0);
  for (int row = 0; row < pass.batch_size && !backward; ++row)
    std::copy_n(pass.hidden + row * width, width, inputs.data() + row * stride);
  Barrier barrier;
  PassTask task{pass, barrier, {inputs.data(), inputs.data() + rows * stride}, stride,
                packed.data(), d_cells.data(), 1};
  Helpers::of_process().run(work, task, std::clamp(threads, 1, pass.hidden_size / kMultiple));
}

int run_pass_or_fail(Work work, const LstmPass& pass, int input_width, int threads, bool backward) {
  try {
    run_pass(work, pass, input_width, threads, backward);
    return 1;
  } catch (const std::bad_alloc&) {
    return 0;
  }
}
}  // namespace

// Whether this processor can train layers.
EXPORT int charstream_trains() { return kAmxBf16.available(); }

// The two passes. They return 0 if memory is exhausted, and then have computed nothing.
EXPORT int charstream_train_forward(const LstmPass* pass, int threads) {
  return run_pass_or_fail(kAmxBf16.forward, *pass, pass->hidden_size, threads, false);
}

EXPORT int charstream_train_backward(const LstmPass* pass, int threads) {
  std::fill_n(pass->d_bias, kGates * std::size_t(pass->hidden_size), 0.0f);
  return run_pass_or_fail(kAmxBf16.backward, *pass, kGates * pass->hidden_size, threads, true);
}
