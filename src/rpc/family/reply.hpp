#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "rpc/family/spec.hpp"
#include "rpc/http_client.hpp"

/// Reading an HTTP answer: which values of it a family wants, and where they stand. No rule is applied to them here.
namespace rpcw::rpc::family {

/// Where a value is in a reply.
using Slot = std::size_t;
/// The family has no such value.
inline constexpr Slot kNowhere = kMostPointers;
/// RFC 6901, in the order of the slots.
using Pointers = std::vector<std::string_view>;

/// The values of one request's answer.
struct Layout {
  Pointers pointers;
  /// The same where the answer lacks its envelope; empty: the family's answers never do.
  Pointers bare{};
  Slot error = kNowhere, code = kNowhere, message = kNowhere, other_message = kNowhere, id = kNowhere, root = kNowhere;
};

/// All of an HTTP answer that a family's rules need. Outlives the answer.
struct Reply {
  long status = 0;
  std::optional<milliseconds> retry_after;
  std::chrono::microseconds latency{};
  /// It is JSON; else there are no values, and this is why, for a person.
  bool json = false;
  std::string_view fault{};
  /// Its id is another request's. Always false in a batch, whose parts are found by their ids.
  bool of_another = false;
  /// It is one by which a node limits our rate.
  bool limit_page = false;
  std::array<Picked, kMostPointers> values{};
  /// Of a canary: what stands at its `expect`.
  Picked expected{};
};

/// The slot of `pointer`, which is added to the list unless it is there. kNowhere for an empty pointer. Throws
/// std::logic_error for more than kMostPointers.
Slot slot_of(Pointers& pointers, std::string_view pointer);
/// The values that all answers share: id, error and root. `root`: empty: the answer has none.
Layout basic_layout(const Spec& spec, const Ask& ask, std::string_view root);
/// The same values in an answer that lacks Spec::envelope around a good answer, or /error around a bad one.
Pointers without_envelope(const Spec& spec, const Pointers& pointers);

/// Cannot fail: what is wrong with the answer is noted in the reply.
Reply read_reply(const Spec& spec, const Layout& layout, const HttpAnswer& answer);

}  // namespace rpcw::rpc::family
