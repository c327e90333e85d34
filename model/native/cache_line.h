// Memory on cache lines of its own, so that no thread's writes take a line away from another one.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

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
