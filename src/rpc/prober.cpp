#include "rpc/prober.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "rpc/evm.hpp"

namespace rpcw {

namespace rpc {
namespace {

/// A batch may be lost where a single request is answered. Then those come so much later.
constexpr milliseconds kBatchPatience{1000};
/// A batch that took longer does not tell how long its head alone takes: some gateways ask for one part after the
/// other.
constexpr milliseconds kHeadsLatency{250};

HeadObservation head_from(const HttpResult& result, const HttpTarget& target) {
  HeadObservation out;
  out.received = read_clocks();
  out.latency = result ? result->latency : result.error().after;
  if (result)
    out.head = evm::head_in(evm::read_reply(*result), target);
  else
    out.head = std::unexpected(result.error().what);
  return out;
}

Answer answer_from(const Check& check, const HttpResult& result, const HttpTarget& target) {
  Answer out{read_clocks(), check, {}};
  if (result)
    out.value = evm::answer_in(check, evm::read_reply(*result), target);
  else
    out.value = std::unexpected(result.error().what);
  return out;
}

}  // namespace

Prober::Prober(boost::asio::io_context& io, const config::Probe& settings, std::vector<Subject> subjects,
               Resolver::Lookup lookup)
    : settings_(settings), client_(io, settings, subjects.size(), std::move(lookup)) {
  known_.reserve(subjects.size());
  for (const Subject& s : subjects) {
    known_.push_back(std::make_shared<Known>(HttpTarget(*s.target), s.canaries));
    client_.expect(known_.back()->target);
  }
}

std::size_t Prober::add(const Subject& subject) {
  auto known = std::make_shared<Known>(HttpTarget(*subject.target), subject.canaries);
  client_.expect(known->target);
  if (!free_.empty()) {
    const std::size_t index = free_.back();
    free_.pop_back();
    known_[index] = std::move(known);
    return index;
  }
  known_.push_back(std::move(known));
  client_.expect_targets(known_.size());
  return known_.size() - 1;
}

void Prober::remove(std::size_t target) {
  known_[target]->removed = true;
  known_[target].reset();
  free_.push_back(target);
}

void Prober::head(std::size_t target, HeadHandler handler, LeftHandler left) {
  const KnownPtr& known = known_[target];
  send_head(known, std::move(handler), {.left = unless_removed(known, std::move(left))});
}

Prober::LeftHandler Prober::unless_removed(const KnownPtr& known, LeftHandler left) {
  if (!left) return {};
  return [known, left = std::move(left)]() mutable {
    if (!known->removed) left();
  };
}

void Prober::check(std::size_t target, const Check& check, AnswerHandler handler) {
  send(known_[target], check, std::move(handler));
}

void Prober::send_head(const KnownPtr& known, HeadHandler handler, Sending sending) {
  client_.start(
      known->target, evm::kHeadRequest, settings_.timeout,
      [known, handler = std::move(handler)](const HttpResult& result) mutable {
        if (!known->removed) handler(head_from(result, known->target));
      },
      std::move(sending));
}

void Prober::send(const KnownPtr& known, const Check& check, AnswerHandler handler) {
  const config::Canary* canary = check.kind == CheckKind::kCanary ? &known->canaries[check.argument] : nullptr;
  // The client keeps a view of it until the answer is there.
  auto body = std::make_unique<const std::string>(evm::request(check, canary));
  const std::string_view view = *body;
  client_.start(known->target, view, settings_.timeout,
                [known, check, body = std::move(body), handler = std::move(handler)](const HttpResult& result) mutable {
                  if (!known->removed) handler(answer_from(check, result, known->target));
                });
}

std::shared_ptr<const std::string> Prober::batch_body(const std::vector<Check>& checks) {
  if (!last_batch_ || last_checks_ != checks) {
    last_checks_ = checks;
    last_batch_ = std::make_shared<const std::string>(evm::batch_request(checks));
  }
  return last_batch_;
}

void Prober::head_and_checks(std::size_t target, std::span<const Check> checks, Afterwards afterwards,
                                HeadHandler head, AnswerHandler answered, LeftHandler left) {
  const KnownPtr& known = known_[target];
  struct Batch {
    std::vector<Check> checks;
    std::shared_ptr<const std::string> body;
    HeadHandler head;
    AnswerHandler answered;
    LeftHandler left;
  };
  auto batch = std::make_shared<Batch>();
  batch->head = std::move(head);
  batch->answered = std::move(answered);
  batch->left = unless_removed(known, std::move(left));
  const auto tell = [batch](Answer a) { batch->answered(std::move(a)); };
  for (const Check& q : checks)
    if (q.kind == CheckKind::kCanary || q.kind == CheckKind::kBlock)
      send(known, q, tell);
    else
      batch->checks.push_back(q);
  if (batch->checks.empty()) {
    send_head(known, std::move(batch->head), {.left = std::move(batch->left)});
    return;
  }
  batch->body = batch_body(batch->checks);
  const std::string_view view = *batch->body;
  auto take_apart = [this, known, batch, tell](const HttpResult& result) {
    if (known->removed) return;
    const HttpTarget& t = known->target;
    std::vector<std::optional<evm::Reply>> parts(1 + batch->checks.size());
    if (result) parts = evm::read_batch(*result, parts.size());
    std::optional<Head> newest;
    if (parts[0] && result->latency <= kHeadsLatency)
      if (auto good = evm::head_in(*parts[0], t)) newest = std::move(*good);
    if (newest)
      batch->head({read_clocks(), result->latency, std::move(*newest)});
    else
      // It takes over the batch's place, so that our queue does not look like the provider's silence. A batch that was
      // answered ends that silence; of one that was not the single request goes on with it.
      send_head(known, std::move(batch->head), {.next = true, .left = result ? std::move(batch->left) : LeftHandler{}});
    for (std::size_t i = 0; i < batch->checks.size() && !known->removed; ++i) {
      const Check& q = batch->checks[i];
      std::optional<AnswerValue> value;
      if (parts[i + 1])
        if (auto good = evm::answer_in(q, *parts[i + 1], t)) value = std::move(*good);
      if (value)
        tell({read_clocks(), q, std::move(*value)});
      else
        send(known, q, tell);
    }
  };
  client_.start(
      known->target, view, std::min(settings_.timeout / 2, kBatchPatience), std::move(take_apart),
      {.afterwards = afterwards, .left = batch->left ? LeftHandler([batch] { batch->left(); }) : LeftHandler{}});
}

}  // namespace rpc
}  // namespace rpcw
