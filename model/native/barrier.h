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
//
// Returns the nanoseconds after the first stage. So a short wait reads no clock.
inline int64_t wait_for_change(const std::atomic<unsigned>& value, unsigned old) {
  const auto changed = [&] { return value.load(std::memory_order_acquire) != old; };
  for (int spins = 0; spins < 100; ++spins) {
    if (changed()) return 0;
    cpu_relax();
  }
  const int64_t began = nanoseconds_now();
  for (int yields = 0; yields < 1900; ++yields) {
    if (changed()) return nanoseconds_now() - began;
    std::this_thread::yield();
  }
  value.wait(old, std::memory_order_seq_cst);
  return nanoseconds_now() - began;
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
  // Waits until `threads` threads have arrived; all of them pass the same number. Returns the
  // nanoseconds that `wait_for_change` returns.
  int64_t arrive_and_wait(int threads) {
    if (threads == 1) return 0;
    const unsigned phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads)
      return wait_for_change(phase_, phase);
    arrived_.store(0, std::memory_order_relaxed);
    advance_and_wake(phase_);
    return 0;
  }

 private:
  // On separate lines: every arriving thread writes arrived_ while the others poll phase_.
  alignas(kCacheLine) std::atomic<int> arrived_{0};
  alignas(kCacheLine) std::atomic<unsigned> phase_{0};  // counts how often all threads have met
};
