// Where the workers of a step wait for each other.
#pragma once

#include <atomic>
#include <thread>

// A moment's wait that leaves the core to its other half.
inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for a change: looking, which takes a microsecond or less where the other has a core of its
// own; then yielding, so that one core can serve both, and the system sees two at work; then asleep.
inline void wait_for_change(const std::atomic<unsigned>& value, unsigned old) {
  for (int look = 0; look < 2000; ++look) {
    if (value.load(std::memory_order_acquire) != old) return;
    if (look < 100) relax();
    else std::this_thread::yield();
  }
  value.wait(old, std::memory_order_acquire);
}

class Barrier {
 public:
  explicit Barrier(int workers) : workers_(workers) {}

  void meet() {
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < workers_)
      return wait_for_change(round_, round);
    arrived_.store(0, std::memory_order_relaxed);
    // In one order with what follows: notify_all looks for sleepers, after this can be seen.
    round_.store(round + 1, std::memory_order_seq_cst);
    round_.notify_all();
  }

 private:
  const int workers_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
};
