#include "rpc/prober.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/clock.hpp"
#include "rpc/family/registry.hpp"
#include "rpc/make_target.hpp"

namespace rpcw {

namespace rpc {
namespace {

/// A batch may be lost where a single request is answered. Then those come so much later.
constexpr milliseconds kBatchPatience{1000};
/// A batch that took longer does not tell how long its head alone takes: some gateways ask for one part after the
/// other.
constexpr milliseconds kHeadsLatency{250};

}  // namespace

Prober::Prober(boost::asio::io_context& io, const config::Probe& settings, const std::vector<Subject>& subjects,
               Resolver::Lookup lookup)
    : settings_(settings), client_(io, settings, subjects.size(), std::move(lookup)) {
  known_.reserve(subjects.size());
  for (const Subject& s : subjects) {
    known_.push_back(known_of(s));
    client_.expect(known_.back()->target);
  }
}

Prober::KnownPtr Prober::known_of(const Subject& subject) {
  static const Chain kAny;
  const Chain* chain = subject.chain != nullptr ? subject.chain : &kAny;
  std::shared_ptr<const family::Family> family = own_families_[chain->own_family.get()].lock();
  if (!family) family = family::of(*chain);
  if (chain->own_family) own_families_[chain->own_family.get()] = family;
  return std::make_shared<Known>(make_target(*subject.target, subject.canaries, *chain, settings_), subject.canaries,
                                 chain, std::move(family));
}

family::Context Prober::context_of(const Known& known, WallTime received) {
  return {known.target, known.chain, received};
}

std::size_t Prober::add(const Subject& subject) {
  auto known = known_of(subject);
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
  const family::Family& family = *known->family;
  const std::span<const HttpRequest> requests = family.head_requests();
  if (requests.size() == 1) {
    client_.start(
        known->target, requests.front(), settings_.timeout,
        [known, handler = std::move(handler)](const HttpResult& result) mutable {
          if (known->removed) return;
          HeadObservation out{read_clocks(), result ? result->latency : result.error().after, {}};
          const family::Outcome outcome = result ? family::Outcome(known->family->read_head(0, *result))
                                                 : family::Outcome(std::unexpected(result.error().what));
          out.head = known->family->head(std::span(&outcome, 1), context_of(*known, out.received.wall));
          handler(std::move(out));
        },
        std::move(sending));
    return;
  }
  struct Parts {
    HeadHandler handler;
    std::vector<family::Outcome> outcomes;
    std::size_t missing;
    HeadObservation observation;
  };
  auto parts = std::make_shared<Parts>(std::move(handler),
                                       std::vector<family::Outcome>(requests.size(), std::unexpected(ProbeFailure{})),
                                       requests.size(), HeadObservation{});
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const bool timed = i == family.timed_request();
    client_.start(known->target, requests[i], settings_.timeout,
                  [known, parts, i, timed](const HttpResult& result) {
                    if (known->removed) return;
                    HeadObservation& out = parts->observation;
                    out.received = read_clocks();
                    if (timed) out.latency = result ? result->latency : result.error().after;
                    parts->outcomes[i] = result ? family::Outcome(known->family->read_head(i, *result))
                                                : family::Outcome(std::unexpected(result.error().what));
                    if (--parts->missing > 0) return;
                    out.head = known->family->head(parts->outcomes, context_of(*known, out.received.wall));
                    parts->handler(std::move(out));
                  },
                  {.afterwards = sending.afterwards,
                   .next = sending.next,
                   .left = timed ? std::move(sending.left) : LeftHandler{}});
  }
}

void Prober::send(const KnownPtr& known, const Check& check, AnswerHandler handler) {
  if (!known->family->offers(check.kind)) throw std::logic_error("a check that the chain family does not offer");
  const config::Canary* canary = check.kind == CheckKind::kCanary ? &known->canaries[check.argument] : nullptr;
  // The client keeps a view of it until the answer is there.
  auto request = std::make_unique<const HttpRequest>(known->family->request(check, canary));
  const HttpRequest& sent = *request;
  client_.start(known->target, sent, settings_.timeout,
                [known, check, canary, request = std::move(request),
                 handler = std::move(handler)](const HttpResult& result) mutable {
                  if (known->removed) return;
                  Answer out{read_clocks(), check, {}};
                  if (result)
                    out.value = known->family->answer(check, known->family->read(check.kind, *result, canary),
                                                      context_of(*known, out.received.wall), canary);
                  else
                    out.value = std::unexpected(result.error().what);
                  handler(std::move(out));
                });
}

std::shared_ptr<const HttpRequest> Prober::batch_request(const family::Family& family,
                                                         const std::vector<Check>& checks) {
  if (!last_batch_ || last_family_ != &family || last_checks_ != checks) {
    last_family_ = &family;
    last_checks_ = checks;
    last_batch_ = std::make_shared<const HttpRequest>(family.batch_request(checks));
  }
  return last_batch_;
}

void Prober::head_and_checks(std::size_t target, std::span<const Check> checks, Afterwards afterwards, HeadHandler head,
                             AnswerHandler answered, LeftHandler left) {
  const KnownPtr& known = known_[target];
  struct Batch {
    std::vector<Check> checks;
    std::shared_ptr<const HttpRequest> request;
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
    if (!known->family->batches() || q.kind == CheckKind::kCanary || q.kind == CheckKind::kBlock)
      send(known, q, tell);
    else
      batch->checks.push_back(q);
  if (batch->checks.empty()) {
    send_head(known, std::move(batch->head), {.left = std::move(batch->left)});
    return;
  }
  batch->request = batch_request(*known->family, batch->checks);
  const HttpRequest& sent = *batch->request;
  auto take_apart = [this, known, batch, tell](const HttpResult& result) {
    if (known->removed) return;
    const family::Family& family = *known->family;
    const family::Context context = context_of(*known, read_clocks().wall);
    std::vector<std::optional<family::Reply>> parts(1 + batch->checks.size());
    if (result) parts = family.read_batch(*result, parts.size());
    std::optional<Head> newest;
    if (parts[0] && result->latency <= kHeadsLatency) {
      const family::Outcome outcome(std::move(*parts[0]));
      if (auto good = family.head(std::span(&outcome, 1), context)) newest = std::move(*good);
    }
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
        if (auto good = family.answer(q, *parts[i + 1], context)) value = std::move(*good);
      if (value)
        tell({read_clocks(), q, std::move(*value)});
      else
        send(known, q, tell);
    }
  };
  client_.start(
      known->target, sent, std::min(settings_.timeout / 2, kBatchPatience), std::move(take_apart),
      {.afterwards = afterwards, .left = batch->left ? LeftHandler([batch] { batch->left(); }) : LeftHandler{}});
}

}  // namespace rpc
}  // namespace rpcw
