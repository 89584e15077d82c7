#include "processes.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"corpus-list"};
  persea_plugin_types_role_t roles[] = {role("lister", 1, kinds, none()),
                                        role("runner", 1, kinds, none())};
  describe(2, roles, ret);
}

bool exports_persea_plugin_run_run(persea_plugin_types_task_t *task, outcome *ret, error *err) {
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  return true;
}

bool exports_persea_plugin_list_tests_list_tests(persea_plugin_types_task_t *task,
                                                 exports_persea_plugin_list_tests_listing_t *ret,
                                                 error *err) {
  string uri = task->runnable.uri.val;
  command cat = sh("cat \"$1\"", 1, &uri);
  cat.stdout_.tag = PERSEA_PLUGIN_PROCESS_OUTPUT_PIPE;
  persea_plugin_process_own_child_t child;
  if (!persea_plugin_process_start(&cat, &child, err)) return false;
  persea_plugin_process_borrow_child_t lent = persea_plugin_process_borrow_child(child);
  string printed = str("");
  for (;;) {
    corpus_list_u8_t part;
    if (!persea_plugin_process_method_child_read(lent, PERSEA_PLUGIN_PROCESS_PIPE_STDOUT, 100,
                                                 &part, err))
      return false;
    if (!part.len) break;
    printed = join(printed, (string){part.ptr, part.len});
  }
  process_exit exit;
  if (!persea_plugin_process_method_child_wait(lent, &exit, err)) return false;
  persea_plugin_process_child_drop_own(child);

  string left = printed, next = word(&left);
  runnable first = test("corpus-list", next);
  persea_plugin_pages_list_runnable_t page = {&first, 1};
  if (!persea_plugin_pages_add_runnables(&page, err)) return false;
  ret->tests.ptr = room(printed.len * sizeof(runnable));
  ret->tests.len = 0;
  while ((next = word(&left)).len) ret->tests.ptr[ret->tests.len++] = test("corpus-list", next);
  ret->more = with("depends-on", json(add(join(str("[\""), uri), "\"]")));
  return true;
}
