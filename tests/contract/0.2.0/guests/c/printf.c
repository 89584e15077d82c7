// A runner that calls printf, and so needs wasi_snapshot_preview1: `persea plugin pack` adapts it.
#include "common.h"
#include <stdio.h>

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"printf"};
  persea_plugin_types_role_t roles[] = {role("runner", 1, kinds, none())};
  describe(1, roles, ret);
}

bool exports_persea_plugin_run_run(persea_plugin_types_task_t *task, outcome *ret, error *err) {
  string uri = task->runnable.uri.val;
  printf("printed for %.*s\n", (int)uri.len, uri.ptr);
  fflush(stdout);
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  return true;
}
