#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace rpcw::observe {

/// How the score and the weight of one server are made, in sentences that end in the report's numbers. `report`: the
/// JSON document that `once --format json` and /api/v1/status give. The error is a sentence: there
/// is no such backend or server, or this is no such document.
std::expected<std::string, std::string> explain(const std::string& report, std::string_view backend,
                                                std::string_view server);

}  // namespace rpcw::observe
