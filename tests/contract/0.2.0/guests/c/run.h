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
    // It stays ready; the host looks for a millisecond at most.
    while (!persea_plugin_poll_method_pollable_ready(among[0]))
      ;
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

// A program that writes to the socket for its report.
static const char *connect = "import os, socket\n"
                             "connection = socket.socket(socket.AF_UNIX)\n"
                             "connection.connect(os.environ['PERSEA_REPORT_SOCKET'])\n"
                             "connection.sendall(b'by socket\\n')\n";

// A text in quotes, with `\n` for the end of a line and without carriage returns.
static string quote(string text) {
  string made = str("\"");
  for (size_t index = 0; index < text.len; index++)
    if (text.ptr[index] == '\n') made = add(made, "\\n");
    else if (text.ptr[index] != '\r') made = join(made, (string){text.ptr + index, 1});
  return add(made, "\"");
}

// Starts a process, and reads a pipe of it to the end, and the exit code.
static bool finish(command *wanted, persea_plugin_process_pipe_t pipe, string *ret, error *err) {
  persea_plugin_process_own_child_t child;
  if (!persea_plugin_process_start(wanted, &child, err)) return false;
  persea_plugin_process_borrow_child_t lent = persea_plugin_process_borrow_child(child);
  string all = str("");
  for (;;) {
    corpus_list_u8_t part;
    if (!persea_plugin_process_method_child_read(lent, pipe, 100, &part, err)) return false;
    if (!part.len) break;
    all = join(all, (string){part.ptr, part.len});
  }
  process_exit exit;
  if (!persea_plugin_process_method_child_wait(lent, &exit, err)) return false;
  persea_plugin_process_child_drop_own(child);
  *ret = join(add(quote(all), " "), number(code(exit)));
  return true;
}

// Tries what a process can have beside pipes of its own, and writes what came of it to the
// whiteboard.
static bool use_streams(outcome *ret, error *err) {
  string logged = str("logged by the corpus");
  persea_plugin_log_log(PERSEA_PLUGIN_LOG_LEVEL_WARN, &logged);

  process_exit exit;
  command cat = sh("cat", 0, NULL);
  cat.stdin_.tag = PERSEA_PLUGIN_PROCESS_INPUT_FILE;
  cat.stdin_.val.file = str("source.txt");
  cat.stdout_ = to_file("input");
  if (!persea_plugin_process_run(&cat, &exit, err)) return false;
  int32_t input = code(exit);

  command sleep = sh("exec sleep 1000", 0, NULL);
  persea_plugin_process_own_child_t child;
  if (!persea_plugin_process_start(&sleep, &child, err)) return false;
  persea_plugin_process_borrow_child_t lent = persea_plugin_process_borrow_child(child);
  uint32_t id;
  bool has_id = persea_plugin_process_method_child_id(lent, &id) && id > 0;
  if (!persea_plugin_process_method_child_signal(lent, 15, err)) return false;
  if (!persea_plugin_process_method_child_wait(lent, &exit, err)) return false;
  bool is_signal = exit.ending.tag == PERSEA_PLUGIN_PROCESS_ENDING_SIGNAL;
  int32_t signal = is_signal ? exit.ending.val.signal : -1;

  string report, socket, terminal;
  command by_descriptor = sh("echo \"by $PERSEA_REPORT_FD\" >&3", 0, NULL);
  by_descriptor.report.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_PIPE;
  if (!finish(&by_descriptor, PERSEA_PLUGIN_PROCESS_PIPE_REPORT, &report, err)) return false;

  const char *args[] = {"-c", connect};
  command by_socket = {.program = str("python3"), .args = strings(2, args)};
  by_socket.report.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_PIPE;
  by_socket.more = with("report-socket", boolean(true));
  if (!finish(&by_socket, PERSEA_PLUGIN_PROCESS_PIPE_REPORT, &socket, err)) return false;

  command screen = sh("stty size; test -t 2 && echo on a terminal", 0, NULL);
  screen.stdout_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_PIPE;
  screen.stderr_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_WITH_STDOUT;
  screen.more = with("terminal", json(str("{\"rows\":30,\"columns\":90}")));
  if (!finish(&screen, PERSEA_PLUGIN_PROCESS_PIPE_STDOUT, &terminal, err)) return false;

  string board = join(str("input="), number(input));
  board = add(add(board, " id="), has_id ? "true" : "false");
  board = join(add(board, " signal="), number(signal));
  board = join(add(board, "\nreport="), report);
  board = join(add(board, "\nsocket="), socket);
  board = add(join(add(board, "\nterminal="), terminal), "\n");
  if (!persea_plugin_messages_whiteboard(&board, err)) return false;
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  return true;
}

bool exports_persea_plugin_run_run(persea_plugin_types_task_t *task, outcome *ret, error *err) {
  string uri = task->runnable.uri.val;
  if (is(uri, "powers")) return use_powers(task, ret, err);
  if (is(uri, "streams")) return use_streams(ret, err);
  if (is(uri, "panic")) {
    string message = str("it is broken"), location = str("corpus:1");
    persea_plugin_log_panicked(&message, &location);
    __builtin_trap();
  }
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
