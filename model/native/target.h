// Macros that compile the functions between them for another instruction set than the rest of the
// program. So the library is built with one set of flags, and chooses a kernel at run time.
#pragma once

#define CHARSTREAM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define CHARSTREAM_TARGET(set)                                                       \
  CHARSTREAM_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define CHARSTREAM_TARGET_END CHARSTREAM_PRAGMA(clang attribute pop)
#else
#define CHARSTREAM_TARGET(set) \
  CHARSTREAM_PRAGMA(GCC push_options) CHARSTREAM_PRAGMA(GCC target(set))
#define CHARSTREAM_TARGET_END CHARSTREAM_PRAGMA(GCC pop_options)
#endif
