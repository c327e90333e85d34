// How long the caller of a team waits for its helpers before it computes with fewer of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

inline int64_t nanoseconds_now() {
  const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
}

// Shorter waits are not counted: the threads it waits for are running.
constexpr int64_t kLeastWait = 20'000;

// A wait counts at most this many nanoseconds, the scheduler's time slices of one or two other
// threads. Longer ones come from a container's CPU limit, which stops all threads at once, for most
// of a period of 100 ms. It would stop one thread as well.
constexpr int64_t kMostWait = 6'000'000;

// An account of nanoseconds. Computing earns half of its time, and a long wait costs half of its
// time. So the account runs empty if the caller waits for more than half of the time. Then half of
// the threads would be as fast, because they would not wait for the others.
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
    left_ = std::min(left_ + (now - computes_since_) / 2, most_);
    computes_since_ = now;
  }

  bool is_over() const { return left_ <= 0; }

  // After the number of threads has changed: one longest wait uses up what a trial starts with, so
  // that a trial on a busy machine is short.
  void renew() { left_ = most_ / 4; }

 private:
  int64_t left_ = INT64_MAX, most_ = 0, computes_since_ = 0;
};
