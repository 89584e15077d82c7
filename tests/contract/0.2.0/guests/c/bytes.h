// Strings from bytes and back.
#pragma once
#include "common.h"

// Bytes as a string without white space at its end.
static inline string trim(corpus_list_u8_t bytes) {
  while (bytes.len && bytes.ptr[bytes.len - 1] <= ' ') bytes.len--;
  return (string){bytes.ptr, bytes.len};
}

static inline corpus_list_u8_t bytes(string text) {
  return (corpus_list_u8_t){text.ptr, text.len};
}
