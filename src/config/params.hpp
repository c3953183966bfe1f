#pragma once

#include <expected>
#include <string>

#include "config/document.hpp"

namespace rpcw::config {

struct ParamsFault {
  Place place;
  std::string message;
};

/// The JSON text of a TOML value, for a request's `params`. Dates, NaN and infinities have none.
std::expected<std::string, ParamsFault> to_json(const Node& node);

}  // namespace rpcw::config
