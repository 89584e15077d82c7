#include "processes.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"corpus-program"};
  persea_plugin_types_role_t roles[] = {role("program-runner", 1, kinds, none())};
  describe(1, roles, ret);
}

bool exports_persea_plugin_run_program_commands(persea_plugin_types_task_t *task,
                                                exports_persea_plugin_run_program_program_t *ret,
                                                error *err) {
  command absent = sh("", 0, NULL);
  absent.program = str("corpus-absent-program");
  string status = join(task->runnable.uri.val, str(""));
  command present = sh("echo program; exit \"$1\"", 1, &status);
  present.stdout_ = to_file("stdout");
  ret->commands.ptr = room(2 * sizeof(command));
  ret->commands.len = 2;
  ret->commands.ptr[0] = absent;
  ret->commands.ptr[1] = present;
  ret->more = none();
  return true;
}

bool exports_persea_plugin_run_program_judge(exports_persea_plugin_run_program_ended_task_t *ended,
                                             outcome *ret, error *err) {
  if (ended->program_end.tag == EXPORTS_PERSEA_PLUGIN_RUN_PROGRAM_PROGRAM_END_NOT_STARTED) {
    *ret = result(PERSEA_PLUGIN_TYPES_STATUS_ERROR, NULL);
    ret->reason = some(join(ended->program_end.val.not_started.message, str("")));
    return true;
  }
  string name = str("stdout");
  corpus_list_u8_t printed;
  if (!persea_plugin_artifacts_read(NULL, &name, 0, 100, &printed, err)) return false;
  string board = trim(printed);
  if (!persea_plugin_messages_whiteboard(&board, err)) return false;
  int32_t status = code(ended->program_end.val.exited);
  *ret = result(PERSEA_PLUGIN_TYPES_STATUS_PASS, NULL);
  if (status) {
    ret->status = PERSEA_PLUGIN_TYPES_STATUS_FAIL;
    ret->reason = some(join(str("exit code "), number(status)));
  }
  return true;
}
