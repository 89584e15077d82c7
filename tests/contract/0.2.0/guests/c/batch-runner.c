#include "run.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"corpus-batch", "corpus"};
  persea_plugin_types_role_t roles[] = {role("runner", 2, kinds, none()),
                                        role("batch-runner", 1, kinds, none())};
  describe(2, roles, ret);
}

bool exports_persea_plugin_run_batch_run_batch(exports_persea_plugin_run_batch_request_t *request,
                                               persea_plugin_types_done_t *ret, error *err) {
  for (int64_t count = 1;; count++) {
    persea_plugin_batch_option_task_t task;
    if (!persea_plugin_batch_take_task(&task, err)) return false;
    if (!task.is_some) break;
    if (is(task.val.runnable.uri.val, "bad")) {
      error reason = failure("io", str("it is bad"));
      if (!persea_plugin_batch_fail_task(&reason, err)) return false;
      continue;
    }
    string board = add(number(count), " of a batch");
    if (!persea_plugin_messages_whiteboard(&board, err)) return false;
    outcome ended = result(PERSEA_PLUGIN_TYPES_STATUS_WARN, "in a batch");
    if (!persea_plugin_batch_finish_task(&ended, err)) return false;
  }
  ret->more = none();
  return true;
}
