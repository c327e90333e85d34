// How long the caller of a team waits for its helpers before it computes with fewer of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

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
