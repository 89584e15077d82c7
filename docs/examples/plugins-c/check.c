// A runner for the kind `check`: a command passes if its output contains an expected text.
#include "check.h"
#include <stdlib.h>
#include <string.h>

// The generated code frees what a function returns, so every returned string is a copy.
static check_string_t copy(const char *text) {
  check_string_t made;
  check_string_dup(&made, text);
  return made;
}

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  memset(ret, 0, sizeof *ret);
  ret->name = copy("check");
  ret->version = copy("0.1.0");
  ret->summary = copy("compares the output of commands");
  persea_plugin_types_role_t *role = calloc(1, sizeof *role);
  role->name = copy("runner");
  role->kinds.ptr = malloc(sizeof *role->kinds.ptr);
  role->kinds.ptr[0] = copy("check");
  role->kinds.len = 1;
  ret->roles.ptr = role;
  ret->roles.len = 1;
  persea_plugin_types_describe_request_free(request);
}

static void finish(persea_plugin_types_outcome_t *ret, persea_plugin_types_status_t status,
                   const char *reason) {
  memset(ret, 0, sizeof *ret);
  ret->status = status;
  ret->reason.is_some = reason != NULL;
  if (reason) ret->reason.val = copy(reason);
}

static bool contains(check_list_u8_t text, check_string_t part) {
  for (size_t at = 0; at + part.len <= text.len; at++)
    if (!memcmp(text.ptr + at, part.ptr, part.len)) return true;
  return false;
}

// The expected text of a task; empty where it has none.
static check_string_t expected(persea_plugin_types_runnable_t *runnable) {
  check_string_t found = {NULL, 0};
  for (size_t index = 0; index < runnable->kwargs.len; index++) {
    check_string_t name = runnable->kwargs.ptr[index].f0;
    persea_plugin_types_value_t value = runnable->kwargs.ptr[index].f1;
    if (name.len == 6 && !memcmp(name.ptr, "expect", 6) &&
        value.tag == PERSEA_PLUGIN_TYPES_VALUE_TEXT)
      found = value.val.text;
  }
  return found;
}

bool exports_persea_plugin_run_run(persea_plugin_types_task_t *task,
                                   persea_plugin_types_outcome_t *ret,
                                   persea_plugin_types_error_t *err) {
  if (!task->runnable.uri.is_some) {
    finish(ret, PERSEA_PLUGIN_TYPES_STATUS_ERROR, "kind check needs a command as its uri");
    return true;
  }
  // Arguments of an import stay the plugin's own, so these strings are no copies.
  check_string_t args[2];
  check_string_set(&args[0], "-c");
  args[1] = task->runnable.uri.val;
  persea_plugin_process_command_t command = {.args = {args, 2}};
  check_string_set(&command.program, "sh");
  command.stdin_.tag = PERSEA_PLUGIN_PROCESS_INPUT_EMPTY;
  command.stdout_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_FILE;
  check_string_set(&command.stdout_.val.file, "stdout");
  command.stderr_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_WITH_STDOUT;
  command.report.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_DISCARD;

  persea_plugin_process_exit_t exit;
  if (!persea_plugin_process_run(&command, &exit, err)) return false;
  check_string_t name;
  check_string_set(&name, "stdout");
  check_list_u8_t printed;
  if (!persea_plugin_artifacts_read(NULL, &name, 0, 1 << 20, &printed, err)) return false;

  bool passed = exit.ending.tag == PERSEA_PLUGIN_PROCESS_ENDING_CODE && !exit.ending.val.code;
  if (!passed)
    finish(ret, PERSEA_PLUGIN_TYPES_STATUS_FAIL, "the command failed");
  else if (!contains(printed, expected(&task->runnable)))
    finish(ret, PERSEA_PLUGIN_TYPES_STATUS_FAIL, "the output lacks the expected text");
  else
    finish(ret, PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  persea_plugin_process_exit_free(&exit);
  check_list_u8_free(&printed);
  persea_plugin_types_task_free(task);
  return true;
}
