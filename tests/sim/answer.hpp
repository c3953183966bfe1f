#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/sim.hpp"

namespace sim::detail {

/// A request body, parsed. Views point into the document.
struct Calls {
  struct Call {
    /// Empty if the element is no JSON-RPC call.
    std::string_view method;
    /// JSON text; empty for a notification, which gets no answer.
    std::string id;
    const rapidjson::Value* params = nullptr;
  };

  explicit Calls(std::string_view body);

  rapidjson::Document document;
  bool is_json = false;
  bool batch = false;
  std::vector<Call> calls;
};

/// The chain as one provider shows it.
struct View {
  const Behaviour& behaviour;
  const Chain& chain;
  /// What the shared head was when the provider froze.
  std::optional<std::uint64_t> frozen_head;
  WallTime now;

  std::uint64_t shared_head() const { return frozen_head.value_or(chain.head()); }
  std::uint64_t head() const;
  std::uint64_t chain_id() const { return behaviour.chain_id.value_or(chain.id()); }
  std::string hash(std::uint64_t height) const;
};

/// How one call is answered.
enum class Outcome : std::uint8_t { good, rpc_error, wrong_type, null_result, other_id, limited };

std::string error_body(std::string_view id, std::int64_t code, std::string_view message);
/// Empty for a notification.
std::string answer_call(const View& view, const Calls::Call& call, Outcome outcome);

}  // namespace sim::detail
