// Patience for Python: `test_patience.py`.
#include "../../../model/native/barrier.h"

// A call that computes and waits in turn. Returns how many waits it takes until the patience is
// over, or -1.
extern "C" int waits_until_over(const int64_t* computed, const int64_t* waited, int count,
                                int64_t most) {
  Patience patience;
  int64_t now = 0;
  patience.start(now, most);
  for (int i = 0; i < count; ++i) {
    const int64_t began = now + computed[i];
    now = began + waited[i];
    patience.note_wait(began, now);
    if (patience.is_over()) return i + 1;
  }
  return -1;
}
