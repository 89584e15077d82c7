#include "bytes.h"

static persea_plugin_report_output_borrow_report_t report;
static int64_t tests;
static bool names_files;

// The names and sizes of a task's files.
static bool files_of(string task, string *ret, error *err) {
  persea_plugin_artifact_list_page_t page;
  if (!persea_plugin_artifact_list_list_artifacts(&task, NULL, &page, err)) return false;
  *ret = str("");
  for (size_t index = 0; index < page.entries.len; index++) {
    persea_plugin_artifact_list_entry_t file = page.entries.ptr[index];
    if (is(file.name, "debug.log")) continue;
    *ret = join(add(*ret, " "), file.name);
    *ret = join(add(*ret, ":"), number(file.size));
  }
  return true;
}

static bool append(string line, error *err) {
  corpus_list_u8_t content = bytes(line);
  return persea_plugin_report_output_method_report_append(report, &content, err);
}

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  attributes file = with("file", text(str("results.corpus")));
  persea_plugin_types_role_t roles[] = {role("result-format", 0, NULL, file)};
  describe(1, roles, ret);
}

bool exports_persea_plugin_format_start_report(exports_persea_plugin_format_job_t *job,
                                               persea_plugin_types_done_t *ret, error *err) {
  persea_plugin_report_output_own_report_t opened;
  if (!persea_plugin_report_output_open_report(&opened, err)) return false;
  report = persea_plugin_report_output_borrow_report(opened);
  ret->more = none();
  string first = join(str("0 tests, "), find(job->settings, "corpus.word").val.text);
  names_files = is(find(job->settings, "corpus.word").val.text, "files");
  return append(add(first, "\n"), err);
}

bool exports_persea_plugin_format_handle(exports_persea_plugin_format_event_page_t *page,
                                         persea_plugin_types_done_t *ret, error *err) {
  for (size_t index = 0; index < page->events.len; index++) {
    exports_persea_plugin_format_event_t event = page->events.ptr[index];
    string line = event.kind;
    if (event.task.is_some) {
      tests++;
      line = join(add(line, " "), event.task.val);
      line = join(add(line, " "), find(event.data, "status").val.text);
      string name = str("stdout");
      corpus_list_u8_t printed;
      error absent;
      if (persea_plugin_artifacts_read(&event.task.val, &name, 0, 100, &printed, &absent))
        line = join(add(line, " "), trim(printed));
      string files = str("");
      if (names_files && !files_of(event.task.val, &files, err)) return false;
      line = join(line, files);
    }
    if (!append(add(line, "\n"), err)) return false;
  }
  ret->more = none();
  return true;
}

bool exports_persea_plugin_format_finish_report(exports_persea_plugin_format_job_end_t *job_end,
                                                persea_plugin_types_done_t *ret, error *err) {
  corpus_list_u8_t count = bytes(number(tests));
  if (!persea_plugin_report_output_method_report_overwrite(report, 0, &count, err)) return false;
  ret->more = none();
  return append(add(str("complete: "), job_end->complete ? "true\n" : "false\n"), err);
}
