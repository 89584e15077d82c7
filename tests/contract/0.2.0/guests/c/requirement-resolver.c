#include "processes.h"

#define SHA256 "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"corpus-thing"};
  persea_plugin_types_role_t roles[] = {role("requirement-resolver", 1, kinds, none())};
  describe(1, roles, ret);
}

bool exports_persea_plugin_fulfil_check(exports_persea_plugin_fulfil_request_t *request,
                                        exports_persea_plugin_fulfil_checked_requirement_t *ret,
                                        error *err) {
  string name = str("fulfilled");
  corpus_list_u8_t content;
  if (!persea_plugin_cache_get(&name, &content, err) && !is(err->code, "not-found")) return false;
  command exists = sh("test -e \"$1\"", 1, &request->requirement.uri.val);
  process_exit exit;
  if (!persea_plugin_process_run(&exists, &exit, err)) return false;
  ret->presence = code(exit) == 0 ? EXPORTS_PERSEA_PLUGIN_FULFIL_PRESENCE_PRESENT
                                  : EXPORTS_PERSEA_PLUGIN_FULFIL_PRESENCE_ABSENT;
  ret->more = none();
  return true;
}

bool exports_persea_plugin_fulfil_fulfil(exports_persea_plugin_fulfil_request_t *request,
                                         exports_persea_plugin_fulfil_fulfilled_requirement_t *ret,
                                         error *err) {
  string path = request->requirement.uri.val;
  const char *locations[] = {"source.txt"};
  persea_plugin_fetch_source_t source = {strings(1, locations), some(str(SHA256)), none()};
  persea_plugin_fetch_own_download_t download;
  if (!persea_plugin_fetch_fetch(&source, &download, err)) return false;
  persea_plugin_fetch_borrow_download_t lent = persea_plugin_fetch_borrow_download(download);
  persea_plugin_fetch_download_info_t info;
  persea_plugin_fetch_method_download_info(lent, &info);
  corpus_list_u8_t content;
  if (!persea_plugin_fetch_method_download_read(lent, 0, info.size, &content, err)) return false;
  persea_plugin_fetch_download_drop_own(download);

  string message = join(str("about to write "), path);
  if (!persea_plugin_messages_progress(&message, err)) return false;
  string args[] = {path, trim(content)};
  command write = sh("printf %s \"$2\" > \"$1\"", 2, args);
  process_exit exit;
  if (!persea_plugin_process_run(&write, &exit, err)) return false;
  if (code(exit) != 0) {
    *err = failure("io", add(path, " cannot be written"));
    return false;
  }
  string name = str("fulfilled");
  if (!persea_plugin_cache_put(&name, &content, err)) return false;
  ret->undo = with("path", text(join(path, str(""))));
  string env = add(join(str("{\"CORPUS_THING\": \""), args[1]), "\"}");
  ret->more = with("env", json(env));
  return true;
}

bool exports_persea_plugin_fulfil_release(exports_persea_plugin_fulfil_release_request_t *request,
                                          persea_plugin_types_done_t *ret, error *err) {
  string path = request->request.requirement.uri.val;
  if (request->undo.is_some) path = find(request->undo.val, "path").val.text;
  command remove = sh("rm -f \"$1\"", 1, &path);
  process_exit exit;
  if (!persea_plugin_process_run(&remove, &exit, err)) return false;
  ret->more = none();
  return true;
}
