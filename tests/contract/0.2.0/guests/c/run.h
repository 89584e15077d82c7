// Runs a task of the kind `corpus`.
#pragma once
#include "processes.h"

// Tries every power of a runner, and writes what came of it to the whiteboard.
static bool use_powers(persea_plugin_types_task_t *task, outcome *ret, error *err) {
  string progress = str("about to begin");
  if (!persea_plugin_messages_progress(&progress, err)) return false;
  const char *one[] = {"suite", "one"}, *two[] = {"suite", "two"};
  corpus_list_string_t path = strings(2, one);
  if (!persea_plugin_cases_start(&path, err)) return false;
  persea_plugin_cases_finished_t ended_cases[] = {
      {strings(2, one), PERSEA_PLUGIN_TYPES_STATUS_PASS, {true, 1000}, {false}, none()},
      {strings(2, two), PERSEA_PLUGIN_TYPES_STATUS_SKIP, {false}, some(str("not here")), none()}};
  persea_plugin_cases_list_finished_t cases = {ended_cases, 2};
  if (!persea_plugin_cases_finish(&cases, err)) return false;

  process_exit exit;
  command both = sh("echo \"out $CORPUS_SET${CORPUS_UNSET-}\"; echo err >&2", 0, NULL);
  both.stdout_ = to_file("stdout");
  both.stderr_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_WITH_STDOUT;
  if (!persea_plugin_process_run(&both, &exit, err)) return false;
  int32_t ran = code(exit);
  command cat = sh("cat", 0, NULL);
  cat.stdin_.tag = PERSEA_PLUGIN_PROCESS_INPUT_BYTES;
  cat.stdin_.val.bytes = bytes(str("given"));
  cat.stdout_ = to_file("taken");
  if (!persea_plugin_process_run(&cat, &exit, err)) return false;
  int32_t taken = code(exit);

  corpus_list_u8_t said = bytes(find(task->settings, "corpus.word").val.text);
  command echo = sh("cat; exit 3", 0, NULL);
  echo.stdin_.tag = PERSEA_PLUGIN_PROCESS_INPUT_PIPE;
  echo.stdout_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_PIPE;
  persea_plugin_process_own_child_t child;
  if (!persea_plugin_process_start(&echo, &child, err)) return false;
  persea_plugin_process_borrow_child_t lent = persea_plugin_process_borrow_child(child);
  if (!persea_plugin_process_method_child_write(lent, &said, err)) return false;
  if (!persea_plugin_process_method_child_close_stdin(lent, err)) return false;
  persea_plugin_poll_interest_t interest = {PERSEA_PLUGIN_POLL_INTEREST_READABLE,
                                            {PERSEA_PLUGIN_PROCESS_PIPE_STDOUT}};
  persea_plugin_poll_own_pollable_t pollable;
  if (!persea_plugin_poll_watch(lent, &interest, &pollable, err)) return false;
  persea_plugin_poll_borrow_pollable_t among[] = {persea_plugin_poll_borrow_pollable(pollable)};
  persea_plugin_poll_list_borrow_pollable_t list = {among, 1};
  string echoed = str(""), ready_list;
  for (;;) {
    corpus_list_u32_t ready;
    if (!persea_plugin_poll_poll(&list, NULL, &ready, err)) return false;
    ready_list = str("");
    for (size_t index = 0; index < ready.len; index++)
      ready_list = join(ready_list, number(ready.ptr[index]));
    corpus_list_u8_t part;
    if (!persea_plugin_process_method_child_read(lent, PERSEA_PLUGIN_PROCESS_PIPE_STDOUT, 100,
                                                 &part, err))
      return false;
    if (!part.len) break;
    echoed = join(echoed, (string){part.ptr, part.len});
  }
  persea_plugin_poll_pollable_drop_own(pollable);
  if (!persea_plugin_process_method_child_wait(lent, &exit, err)) return false;
  int32_t ended = code(exit);
  persea_plugin_process_child_drop_own(child);

  string name = str("note.txt"), absent_name = str("absent");
  corpus_list_u8_t content = bytes(echoed);
  if (!persea_plugin_artifacts_write(&name, &content, err)) return false;
  uint64_t size;
  if (!persea_plugin_artifacts_size(NULL, &name, &size, err)) return false;
  if (!persea_plugin_artifacts_read(NULL, &name, 0, 100, &content, err)) return false;
  persea_plugin_artifact_list_page_t page;
  if (!persea_plugin_artifact_list_list_artifacts(NULL, NULL, &page, err)) return false;
  string files = str("");
  for (size_t index = 0; index < page.entries.len; index++) {
    if (index) files = add(files, ",");
    files = join(files, page.entries.ptr[index].name);
  }
  corpus_list_u8_t nothing;
  error absent = failure("found", str(""));
  persea_plugin_artifacts_read(NULL, &absent_name, 0, 1, &nothing, &absent);
  uint64_t deadline;
  bool in_time = persea_plugin_monotonic_clock_deadline(&deadline) &&
                 persea_plugin_monotonic_clock_now() < deadline;

  string board = join(str("ran="), number(ran));
  board = join(add(board, " taken="), number(taken));
  board = join(add(board, " echoed="), trim(content));
  board = join(add(board, " size="), number(size));
  board = join(add(board, " ended="), number(ended));
  board = join(add(board, " ready=["), ready_list);
  board = join(add(board, "]\nfiles="), files);
  board = join(add(board, " absent="), absent.code);
  board = add(add(board, " in-time="), in_time ? "true" : "false");
  board = join(add(board, " pause="), number(find(task->settings, "corpus.pause").val.integer));
  board = add(board, "\n");
  if (!persea_plugin_messages_whiteboard(&board, err)) return false;
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  ret->more = with("returncode", integer(ran));
  return true;
}

bool exports_persea_plugin_run_run(persea_plugin_types_task_t *task, outcome *ret, error *err) {
  string uri = task->runnable.uri.val;
  if (is(uri, "powers")) return use_powers(task, ret, err);
  if (is(uri, "error")) {
    *err = failure("io", str("it went wrong"));
    return false;
  }
  if (is(uri, "fail")) {
    *ret = result(PERSEA_PLUGIN_TYPES_STATUS_FAIL, "it failed");
    ret->more = with("class-name", text(str("corpus")));
    return true;
  }
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  return true;
}
