// The barrier at which the threads of a step wait for each other, how long they wait, and memory that
// no two threads share.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#ifndef __cpp_lib_atomic_wait
#error "std::atomic::wait is missing: use GCC 11, Clang with libstdc++ 11, or libc++ 11 or newer"
#endif

// Bytes between values that different threads write. A line of x86 has 64 bytes, but Intel's
// spatial prefetcher fetches lines in pairs (Optimization Reference Manual, "Data Prefetch to the
// L2 and Last Level Cache"), and Apple's processors have lines of 128 bytes. The constant is fixed,
// because the value of std::hardware_destructive_interference_size depends on compiler flags.
constexpr std::size_t kCacheLine = 128;

// Allocates whole cache lines.
template <class T>
struct LineAllocator {
  using value_type = T;

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kCacheLine - 1) / kCacheLine * kCacheLine;
    return static_cast<T*>(::operator new(bytes, std::align_val_t(kCacheLine)));
  }
  void deallocate(T* memory, std::size_t) {
    ::operator delete(memory, std::align_val_t(kCacheLine));
  }
  bool operator==(const LineAllocator&) const { return true; }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

// How long the caller of a team waits for its helpers before it computes with fewer of them.

inline int64_t nanoseconds_now() {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
}

// Shorter waits do not count: the threads that the caller waits for are running.
constexpr int64_t kLeastWait = 20'000;

// A wait counts at most this many nanoseconds, the scheduler's time slices of one or two other
// threads. Longer ones come from a container's CPU limit, which stops all threads at once, for most
// of a period of 100 ms. It would stop one thread as well.
constexpr int64_t kMostWait = 6'000'000;

// An account of nanoseconds. Computing earns its time, and a long wait costs half of its time. So
// the account runs empty if the caller waits for more than two thirds of the time. At half of it,
// half of the threads would do as much without waiting for the others, but each thread's core would
// have more weights than its cache holds: two threads are up to four times as fast as one.
//
// This is a CUSUM test (Page 1954, "Continuous inspection schemes"), also known as a leaky bucket:
// it forgets single long waits, and notices a series of them.
class Patience {
 public:
  // Starts a call, with at most `most` nanoseconds on the account. With 0, the patience is always
  // over, for tests.
  void start(int64_t now, int64_t most) {
    computes_since_ = now;
    most_ = most;
    left_ = std::min(left_, most);
  }

  void note_wait(int64_t began, int64_t ended) {
    if (ended - began < kLeastWait) return;
    earn(began);
    left_ -= std::min(ended - began, kMostWait) / 2;
    computes_since_ = ended;
  }

  // Earns the time since the last wait or the start of the call.
  void earn(int64_t now) {
    left_ = std::min(left_ + (now - computes_since_), most_);
    computes_since_ = now;
  }

  bool is_over() const { return left_ <= 0; }

  // After the number of threads has changed, in either direction. Four of the longest waits use it
  // up, so that a trial on a busy machine is short.
  void renew() { left_ = std::min(most_ / 2, 2 * kMostWait); }

 private:
  int64_t left_ = INT64_MAX, most_ = 0, computes_since_ = 0;
};

// Pauses for a moment, during which the other hardware thread of the core can run.
inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns whether a value differs from `old` within about 1 us.
inline bool spin_for_change(const std::atomic<unsigned>& value, unsigned old) {
  for (int spins = 0; spins < 100; ++spins) {
    if (value.load(std::memory_order_acquire) != old) return true;
    cpu_relax();
  }
  return false;
}

// Yields, then sleeps, until a value differs from `old`.
inline void yield_for_change(const std::atomic<unsigned>& value, unsigned old) {
  for (int yields = 0; yields < 1900; ++yields) {
    if (value.load(std::memory_order_acquire) != old) return;
    std::this_thread::yield();
  }
  value.wait(old, std::memory_order_seq_cst);
}

// Waits until a value differs from `old`, in three stages.
//
// 1. Spin: if the other thread runs on a core of its own, the change comes within about 1 us.
// 2. Yield: if both threads share a core, the other one can run. Both stay runnable, so the
//    scheduler sees two busy threads and moves one to an idle core.
// 3. Sleep on a futex, so that an idle team uses no processor time.
//
// This is the spin-then-block strategy (Karlin, Li, Manasse, Owicki 1991, "Empirical studies of
// competitive spinning"). libstdc++'s own atomic::wait has the same three stages, but with 12 spins
// and 4 yields (bits/atomic_wait.h), after which a step of microseconds waits for a futex. The
// README of this folder has the measurements.
inline void wait_for_change(const std::atomic<unsigned>& value, unsigned old) {
  if (!spin_for_change(value, old)) yield_for_change(value, old);
}

// Changes a value that other threads wait for, and wakes those that sleep.
//
// All data that the threads exchange is ordered by release and acquire: the fetch_add releases what
// this thread wrote, and the load that sees the new value acquires it.
//
// Whether a sleeper is woken needs more: sequential consistency on both sides. notify_all first
// reads the number of sleepers, and does nothing if there are none. A waiter first adds itself to
// this number, then looks at the value once more. Each thread writes one variable and reads the
// other one. With release and acquire only, both may read the old values (the "store buffering"
// pattern, which x86 shows, too): then nobody wakes the thread that goes to sleep. libstdc++ makes
// its two accesses to the number sequentially consistent from GCC 12 on; ours to the value have to
// be so as well. On x86 a fetch_add of any order is a full fence, so the stronger order costs
// nothing.
inline void advance_and_wake(std::atomic<unsigned>& value) {
  value.fetch_add(1, std::memory_order_seq_cst);
  value.notify_all();
}

class Barrier {
 public:
  // Waits until `threads` threads have arrived; all of them pass the same number.
  void arrive_and_wait(int threads) {
    unsigned phase;
    if (!arrive(threads, phase)) wait_for_change(phase_, phase);
  }

  // The same for a thread that measures how long it waits. A wait that ends while the thread spins
  // reads no clock.
  void arrive_and_wait(int threads, Patience& patience) {
    unsigned phase;
    if (arrive(threads, phase) || spin_for_change(phase_, phase)) return;
    const int64_t began = nanoseconds_now();
    yield_for_change(phase_, phase);
    patience.note_wait(began, nanoseconds_now());
  }

 private:
  // Returns whether this thread is the last one. If not, `phase` changes when the last one arrives.
  bool arrive(int threads, unsigned& phase) {
    if (threads == 1) return true;
    phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads) return false;
    arrived_.store(0, std::memory_order_relaxed);
    advance_and_wake(phase_);
    return true;
  }

  // On separate lines: every arriving thread writes arrived_ while the others poll phase_.
  alignas(kCacheLine) std::atomic<int> arrived_{0};
  alignas(kCacheLine) std::atomic<unsigned> phase_{0};  // counts how often all threads have met
};
