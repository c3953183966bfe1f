#include "observe/json.hpp"

namespace rpcw::observe {

void Json::reasons(std::span<const ReasonNote> reasons) {
  array();
  for (const ReasonNote& r : reasons) {
    object();
    key("code").text(to_string(r.code));
    key("detail").text(r.detail);
    end_object();
  }
  end_array();
}

void Json::change(const ServerChange& c) {
  key("backend").text(c.backend);
  key("server").text(c.server);
  key("from_state").text(to_string(c.from_state));
  key("to_state").text(to_string(c.to_state));
  key("from_weight");
  if (c.from_weight)
    number(*c.from_weight);
  else
    null();
  key("to_weight").number(c.to_weight);
  key("reasons").reasons(c.reasons);
}

std::string json_string(std::string_view text) {
  Json out;
  out.text(text);
  return out.take();
}

}  // namespace rpcw::observe
