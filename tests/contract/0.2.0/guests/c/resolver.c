#include "bytes.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"noop"};
  persea_plugin_types_role_t roles[] = {role("resolver", 1, kinds, with("order", integer(60)))};
  describe(1, roles, ret);
}

// A test for each entry of a directory.
static bool list(string *path, exports_persea_plugin_resolve_resolution_t *ret, error *err) {
  persea_plugin_workspace_list_tuple2_string_file_kind_t entries;
  if (!persea_plugin_workspace_list_directory(path, &entries, err)) return false;
  const char *kinds[] = {" file", " directory", " other"};
  exports_persea_plugin_resolve_list_runnable_t found = {room(entries.len * sizeof(runnable)), 0};
  for (size_t index = 0; index < entries.len; index++)
    found.ptr[found.len++] =
        test("noop", add(entries.ptr[index].f0, kinds[entries.ptr[index].f1]));
  ret->finding.tag = EXPORTS_PERSEA_PLUGIN_RESOLVE_FINDING_FOUND;
  ret->finding.val.found = found;
  return true;
}

bool exports_persea_plugin_resolve_resolve(exports_persea_plugin_resolve_request_t *request,
                                           exports_persea_plugin_resolve_resolution_t *ret,
                                           error *err) {
  string name = request->reference;
  ret->more = none();
  if (!ends_with(name, ".corpus")) {
    ret->finding.tag = EXPORTS_PERSEA_PLUGIN_RESOLVE_FINDING_NOT_FOUND;
    ret->finding.val.not_found = add(name, " is not of the corpus");
    return true;
  }
  persea_plugin_workspace_file_stat_t stat;
  if (!persea_plugin_workspace_stat(&name, &stat, err)) return false;
  corpus_list_u8_t content;
  if (!persea_plugin_workspace_read(&name, 0, stat.size, &content, err)) return false;
  string left = trim(content);
  string next = word(&left);
  if (is(next, "corrupt")) {
    ret->finding.tag = EXPORTS_PERSEA_PLUGIN_RESOLVE_FINDING_CORRUPT;
    ret->finding.val.corrupt = add(name, ":1: it is corrupt");
    return true;
  }
  if (is(next, "directory")) {
    next = word(&left);
    return list(&next, ret, err);
  }
  runnable first = test("noop", next);
  persea_plugin_pages_list_runnable_t page = {&first, 1};
  if (!persea_plugin_pages_add_runnables(&page, err)) return false;
  exports_persea_plugin_resolve_list_runnable_t found = {room(content.len * sizeof(runnable)), 0};
  while ((next = word(&left)).len) found.ptr[found.len++] = test("noop", next);
  ret->finding.tag = EXPORTS_PERSEA_PLUGIN_RESOLVE_FINDING_FOUND;
  ret->finding.val.found = found;
  ret->more = with("depends-on", json(add(join(str("[\""), name), "\"]")));
  return true;
}
