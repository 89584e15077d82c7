#include "run.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  const char *kinds[] = {"corpus"};
  persea_plugin_types_role_t roles[] = {role("runner", 1, kinds, none())};
  describe(1, roles, ret);
}
