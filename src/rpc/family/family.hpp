#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/chain.hpp"
#include "config/config.hpp"
#include "rpc/family/reply.hpp"
#include "rpc/family/spec.hpp"
#include "rpc/http_client.hpp"
#include "weighter/state/observation.hpp"

/// Chain families: the requests of each check, and answers turned into values. No I/O.
namespace rpcw::rpc::family {

/// An answer, or why there is none.
using Outcome = std::expected<Reply, ProbeFailure>;

/// What the meaning of an answer depends on besides the answer.
struct Context {
  /// Scrubs the provider's words before any of them is quoted.
  const HttpTarget& target;
  /// nullptr: not known.
  const Chain* chain = nullptr;
  /// When the answer came.
  WallTime received{};
};

class Family {
 public:
  /// Throws std::logic_error for a spec with too many values for one answer.
  explicit Family(Spec spec);
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;

  [[nodiscard]] std::string_view name() const { return spec_.name; }
  [[nodiscard]] std::string_view title() const { return spec_.title; }
  [[nodiscard]] Offers offers() const;
  [[nodiscard]] bool offers(CheckKind kind) const;

  /// At least one, asked at once. They stay as long as the family.
  [[nodiscard]] std::span<const HttpRequest> head_requests() const { return head_requests_; }
  /// Which of them the head's latency is of.
  [[nodiscard]] std::size_t timed_request() const { return spec_.head.timed; }
  /// The request of a check that the family offers. `canary`: for CheckKind::kCanary; else not used.
  [[nodiscard]] HttpRequest request(const Check& check, const config::Canary* canary = nullptr) const;

  /// `request`: which of the head's it answers.
  [[nodiscard]] Reply read_head(std::size_t request, const HttpAnswer& answer) const;
  /// `canary`: as above.
  [[nodiscard]] Reply read(CheckKind kind, const HttpAnswer& answer, const config::Canary* canary = nullptr) const;

  /// Each pointer that is followed in such an answer, and what stands there; for a person who writes a family. Absent
  /// `kind`: the answer to the head's first request.
  [[nodiscard]] std::vector<std::pair<std::string_view, Picked>> values_in(std::optional<CheckKind> kind,
                                                                           std::string_view body) const;

  /// The head, or the meaning of the answer to another check. `replies`: one for each of the head's requests. A failure
  /// is `unsupported` when the answer says that the method does not exist.
  [[nodiscard]] std::expected<Head, ProbeFailure> head(std::span<const Outcome> replies, const Context& context) const;
  [[nodiscard]] std::expected<AnswerValue, ProbeFailure> answer(const Check& check, const Reply& reply,
                                                                const Context& context,
                                                                const config::Canary* canary = nullptr) const;

  /// Whether the head and checks that need no argument can go as one request.
  [[nodiscard]] bool batches() const { return spec_.batches; }
  [[nodiscard]] HttpRequest batch_request(std::span<const Check> checks) const;
  /// The parts of the answer to a batch of `count` requests, in the order of the requests: the head's first. Absent:
  /// there is none, for whatever reason.
  [[nodiscard]] std::vector<std::optional<Reply>> read_batch(const HttpAnswer& answer, std::size_t count) const;

 private:
  [[nodiscard]] const Layout& layout(CheckKind kind) const { return checks_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] std::expected<AnswerValue, ProbeFailure> syncing(const Reply& reply) const;
  [[nodiscard]] std::expected<AnswerValue, ProbeFailure> canary_answer(const Reply& reply, const Context& context,
                                                                       const config::Canary& canary) const;
  [[nodiscard]] std::expected<AnswerValue, ProbeFailure> block(std::uint64_t height, const Reply& reply) const;

  const Spec spec_;
  std::vector<HttpRequest> head_requests_;
  std::vector<Layout> head_;
  Slot number_ = kNowhere, hash_ = kNowhere, parent_ = kNowhere, time_ = kNowhere, other_time_ = kNowhere;
  /// As HeadAsk::must; all stand in the answer to the head's first request.
  std::vector<Slot> must_;
  /// By CheckKind.
  std::array<Layout, 5> checks_;
  Slot identity_ = kNowhere, peers_ = kNowhere, block_hash_ = kNowhere, block_number_ = kNowhere;
  std::vector<Slot> syncing_;
};

}  // namespace rpcw::rpc::family
