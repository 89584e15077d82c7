#include "common.h"

// The tasks of the plan that are to be cancelled, and the number of all tasks.
static uint32_t cancelled[100];
static size_t cancelled_len;
static uint32_t tasks;
// The instances that every task gets; null where the setting names no board.
static value board = {.tag = PERSEA_PLUGIN_TYPES_VALUE_NULL};

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  persea_plugin_types_role_t roles[] = {role("scheduler", 0, NULL, none())};
  describe(1, roles, ret);
}

bool exports_persea_plugin_schedule_start_job(exports_persea_plugin_schedule_job_t *job,
                                              persea_plugin_types_done_t *ret, error *err) {
  string word = find(job->settings, "corpus.word").val.text;
  if (starts_with(word, "board ")) {
    string name = {word.ptr + 6, word.len - 6};
    board = json(add(join(str("{\"board\": [\""), name), "\"]}"));
  }
  ret->more = none();
  return true;
}

bool exports_persea_plugin_schedule_add_to_plan(exports_persea_plugin_schedule_plan_page_t *page,
                                                persea_plugin_types_done_t *ret, error *err) {
  for (size_t index = 0; index < page->nodes.len; index++, tasks++)
    if (contains(page->nodes.ptr[index].name, "unwanted") && cancelled_len < 100)
      cancelled[cancelled_len++] = tasks;
  ret->more = none();
  return true;
}

bool exports_persea_plugin_schedule_tasks_ended(exports_persea_plugin_schedule_task_ends_t *ends,
                                                persea_plugin_types_done_t *ret, error *err) {
  ret->more = none();
  return true;
}

bool exports_persea_plugin_schedule_next_tasks(exports_persea_plugin_schedule_turn_t *turn,
                                               exports_persea_plugin_schedule_choice_t *ret,
                                               error *err) {
  ret->cancel.len = cancelled_len;
  ret->cancel.ptr = room(cancelled_len * sizeof(uint32_t));
  memcpy(ret->cancel.ptr, cancelled, cancelled_len * sizeof(uint32_t));
  ret->start.len = 0;
  ret->start.ptr = room(sizeof *ret->start.ptr);
  for (size_t index = 0; index < turn->ready.len; index++) {
    bool is_cancelled = false;
    for (size_t at = 0; at < cancelled_len; at++)
      is_cancelled |= cancelled[at] == turn->ready.ptr[index];
    if (is_cancelled) continue;
    ret->start.ptr[0].task = turn->ready.ptr[index];
    bool is_free = board.tag == PERSEA_PLUGIN_TYPES_VALUE_NULL;
    value copy = is_free ? board : json(join(board.val.json, str("")));
    ret->start.ptr[0].more = is_free ? none() : with("instances", copy);
    ret->start.len = 1;
  }
  cancelled_len = 0;
  ret->more = none();
  return true;
}
