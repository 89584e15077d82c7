// Commands of the shell.
#pragma once
#include "bytes.h"

typedef persea_plugin_process_command_t command;
typedef persea_plugin_process_exit_t process_exit;

static inline command sh(const char *script, size_t count, string *args) {
  command made = {.program = str("sh"), .more = none()};
  const char *first[] = {"-c", script, "sh"};
  corpus_list_string_t start = strings(3, first);
  made.args.len = 3 + count;
  made.args.ptr = room(made.args.len * sizeof(string));
  memcpy(made.args.ptr, start.ptr, 3 * sizeof(string));
  memcpy(made.args.ptr + 3, args, count * sizeof(string));
  made.env.len = 2;
  made.env.ptr = room(2 * sizeof *made.env.ptr);
  made.env.ptr[0].f0 = str("CORPUS_SET");
  made.env.ptr[0].f1 = some(str("set"));
  made.env.ptr[1].f0 = str("CORPUS_UNSET");
  return made;
}

static inline persea_plugin_process_output_t to_file(const char *name) {
  persea_plugin_process_output_t made = {.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_FILE,
                                         .val.file = str(name)};
  return made;
}

// The exit code of a process; -1 where it ended otherwise.
static inline int32_t code(process_exit ended) {
  return ended.ending.tag == PERSEA_PLUGIN_PROCESS_ENDING_CODE ? ended.ending.val.code : -1;
}
