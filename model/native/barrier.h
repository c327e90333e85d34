// The barrier at which the threads of a step wait for each other.
#pragma once

#include <atomic>
#include <thread>

#include "cache_line.h"
#include "patience.h"

#ifndef __cpp_lib_atomic_wait
#error "std::atomic::wait is missing: use GCC 11, Clang with libstdc++ 11, or libc++ 11 or newer"
#endif

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
