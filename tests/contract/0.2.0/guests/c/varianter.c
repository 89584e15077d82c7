#include "common.h"

void exports_persea_plugin_plugin_describe(persea_plugin_types_describe_request_t *request,
                                           persea_plugin_types_description_t *ret) {
  persea_plugin_types_role_t roles[] = {role("varianter", 0, NULL, none())};
  describe(1, roles, ret);
}

static persea_plugin_types_variation_t variation(int64_t n) {
  return (persea_plugin_types_variation_t){with("number", integer(n)), none()};
}

// A variant with all that one can have beside its parameters.
static persea_plugin_types_variation_t with_additions(int64_t n) {
  persea_plugin_types_variation_t made = variation(n);
  string requirement =
      str("[{\"kind\": \"command\", \"kwargs\": {\"setup\": \"echo met >> met\"}}]");
  made.more = both(with("timeout", integer(7000000000)), with("requirements", json(requirement)));
  made.more = both(made.more, with("resources", json(str("{\"board\": 1}"))));
  return made;
}

bool exports_persea_plugin_vary_vary(exports_persea_plugin_vary_request_t *request,
                                     exports_persea_plugin_vary_variations_t *ret, error *err) {
  value count = find(request->parameters, "count");
  if (count.tag != PERSEA_PLUGIN_TYPES_VALUE_INTEGER) {
    *err = failure("invalid", str("`count` is missing"));
    return false;
  }
  persea_plugin_types_variation_t first = variation(0);
  persea_plugin_pages_list_variation_t page = {&first, 1};
  if (!persea_plugin_pages_add_variations(&page, err)) return false;
  size_t left = count.val.integer - 1;
  ret->variations.ptr = room(left * sizeof *ret->variations.ptr);
  ret->variations.len = left;
  for (size_t index = 0; index < left; index++) ret->variations.ptr[index] = variation(index + 1);
  value additions = find(request->parameters, "additions");
  if (additions.tag == PERSEA_PLUGIN_TYPES_VALUE_BOOLEAN && additions.val.boolean) {
    ret->variations.ptr[0] = with_additions(1);
    ret->variations.len = 1;
  }
  ret->more = none();
  return true;
}
