#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rpcw::config {

using Variable = std::function<std::optional<std::string>(const std::string&)>;

struct Expanded {
  /// A secret as soon as `variables` is not empty.
  std::string value;
  /// The names used, in order, each once.
  std::vector<std::string> variables;
  /// Those of them that are set and empty.
  std::vector<std::string> empty;
  /// Names that stand behind a $ without braces and are meant as variables; "NAME" for one that may be a part of a
  /// secret.
  std::vector<std::string> bare;
};

/// Replaces each `${NAME}` by the variable's value and `$${` by a literal `${`; a value is not expanded again. On
/// failure one sentence for each thing that is wrong; they name variables and never show a value.
std::expected<Expanded, std::vector<std::string>> expand(std::string_view text, const Variable& variable);

}  // namespace rpcw::config
