// What the components share: strings, attributes, the description. Nothing is ever freed but what
// the generated code frees after a return, which is why every returned string is a copy.
#pragma once
#include "corpus.h"
#include <stdlib.h>
#include <string.h>

typedef corpus_string_t string;
typedef persea_plugin_types_attributes_t attributes;
typedef persea_plugin_types_value_t value;
typedef persea_plugin_types_runnable_t runnable;
typedef persea_plugin_types_outcome_t outcome;
typedef persea_plugin_types_error_t error;

static void *room(size_t bytes) {
  void *memory = calloc(1, bytes ? bytes : 1);
  if (!memory) abort();
  return memory;
}

static inline string str(const char *text) {
  string made;
  corpus_string_dup(&made, text);
  return made;
}

static inline corpus_option_string_t some(string text) {
  return (corpus_option_string_t){true, text};
}

static inline string join(string one, string other) {
  string made = {room(one.len + other.len), one.len + other.len};
  memcpy(made.ptr, one.ptr, one.len);
  memcpy(made.ptr + one.len, other.ptr, other.len);
  return made;
}

static inline string add(string one, const char *other) { return join(one, str(other)); }

static inline string number(int64_t n) {
  char digits[24], *at = digits + sizeof digits - 1;
  uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
  *at = 0;
  do *--at = '0' + left % 10;
  while (left /= 10);
  if (n < 0) *--at = '-';
  return str(at);
}

static inline bool is(string one, const char *other) {
  return one.len == strlen(other) && !memcmp(one.ptr, other, one.len);
}

static inline bool starts_with(string one, const char *start) {
  size_t len = strlen(start);
  return one.len >= len && !memcmp(one.ptr, start, len);
}

static inline bool ends_with(string one, const char *end) {
  size_t len = strlen(end);
  return one.len >= len && !memcmp(one.ptr + one.len - len, end, len);
}

static inline bool contains(string one, const char *part) {
  size_t len = strlen(part);
  for (size_t at = 0; at + len <= one.len; at++)
    if (!memcmp(one.ptr + at, part, len)) return true;
  return false;
}

static inline value text(string content) {
  value made = {.tag = PERSEA_PLUGIN_TYPES_VALUE_TEXT, .val.text = content};
  return made;
}

static inline value json(string content) {
  value made = {.tag = PERSEA_PLUGIN_TYPES_VALUE_JSON, .val.json = content};
  return made;
}

static inline value integer(int64_t content) {
  value made = {.tag = PERSEA_PLUGIN_TYPES_VALUE_INTEGER, .val.integer = content};
  return made;
}

static inline value boolean(bool content) {
  value made = {.tag = PERSEA_PLUGIN_TYPES_VALUE_BOOLEAN, .val.boolean = content};
  return made;
}

static inline attributes none(void) { return (attributes){room(0), 0}; }

static inline attributes with(const char *name, value content) {
  attributes made = {room(sizeof *made.ptr), 1};
  made.ptr[0].f0 = str(name);
  made.ptr[0].f1 = content;
  return made;
}

static inline attributes both(attributes one, attributes other) {
  attributes made = {room((one.len + other.len) * sizeof *made.ptr), one.len + other.len};
  memcpy(made.ptr, one.ptr, one.len * sizeof *made.ptr);
  memcpy(made.ptr + one.len, other.ptr, other.len * sizeof *made.ptr);
  return made;
}

// The value of an attribute; null where there is no such attribute.
static inline value find(attributes all, const char *name) {
  for (size_t index = all.len; index-- > 0;)
    if (is(all.ptr[index].f0, name)) return all.ptr[index].f1;
  return (value){.tag = PERSEA_PLUGIN_TYPES_VALUE_NULL};
}

static inline corpus_list_string_t strings(size_t count, const char **from) {
  corpus_list_string_t made = {room(count * sizeof(string)), count};
  for (size_t index = 0; index < count; index++) made.ptr[index] = str(from[index]);
  return made;
}

static inline error failure(const char *code, string message) {
  return (error){str(code), message, none()};
}

static inline outcome result(persea_plugin_types_status_t status, const char *reason) {
  outcome made = {.status = status, .more = none()};
  if (reason) made.reason = some(str(reason));
  return made;
}

static inline runnable test(const char *kind, string uri) {
  runnable made = {.kind = str(kind), .uri = some(uri)};
  made.tags.ptr = room(sizeof *made.tags.ptr);
  made.tags.len = 1;
  made.tags.ptr[0].f0 = str("corpus");
  return made;
}

// The next word of a text, which loses it; an empty one after the last.
static inline string word(string *from) {
  while (from->len && *from->ptr <= ' ') from->ptr++, from->len--;
  string found = {from->ptr, 0};
  while (from->len && *from->ptr > ' ') from->ptr++, from->len--, found.len++;
  return join(found, str(""));
}

static inline persea_plugin_types_role_t role(const char *name, size_t count, const char **kinds,
                                              attributes more) {
  return (persea_plugin_types_role_t){str(name), strings(count, kinds), more};
}

// The description that all components give, with their roles and one that no host knows.
static inline void describe(size_t count, persea_plugin_types_role_t *roles,
                            persea_plugin_types_description_t *ret) {
  ret->name = str("corpus");
  ret->version = str("1.0.0");
  ret->summary = str("does a little of everything");
  ret->roles.len = count + 1;
  ret->roles.ptr = room((count + 1) * sizeof *roles);
  memcpy(ret->roles.ptr, roles, count * sizeof *roles);
  value null = {.tag = PERSEA_PLUGIN_TYPES_VALUE_NULL};
  ret->roles.ptr[count] = role("role-of-a-later-contract", 0, NULL, with("unknown", null));
  ret->settings.len = 2;
  ret->settings.ptr = room(2 * sizeof *ret->settings.ptr);
  value most = {.tag = PERSEA_PLUGIN_TYPES_VALUE_NUMBER, .val.number = 60};
  ret->settings.ptr[0] = (persea_plugin_types_setting_t){
      str("corpus.word"), str("text"), text(str("hello")), str("what to say"), none()};
  ret->settings.ptr[1] = (persea_plugin_types_setting_t){
      str("corpus.pause"), str("duration"), text(str("1s")), str("how long to wait"),
      with("most", most)};
  ret->more = with("contract", text(str("0.2.0")));
}
