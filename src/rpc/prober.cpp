#include "rpc/prober.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "rpc/evm.hpp"

namespace rpcw {

Now read_clocks() {
  return {std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now()),
          std::chrono::duration_cast<MonoTime>(std::chrono::steady_clock::now().time_since_epoch())};
}

namespace rpc {

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
  const auto free = std::ranges::find(known_, nullptr);
  const auto index = static_cast<std::size_t>(free - known_.begin());
  if (free != known_.end()) {
    *free = std::move(known);
  } else {
    known_.push_back(std::move(known));
    client_.expect_targets(known_.size());
  }
  return index;
}

void Prober::remove(std::size_t target) {
  known_[target]->removed = true;
  known_[target].reset();
}

void Prober::head(std::size_t target, std::move_only_function<void(HeadObservation)> handler) {
  const std::shared_ptr<Known>& known = known_[target];
  const HttpTarget& t = known->target;
  client_.start(t, evm::kHeadRequest, settings_.timeout,
                [known, handler = std::move(handler)](HttpResult result) mutable {
                  if (known->removed) return;
                  HeadObservation out;
                  out.received = read_clocks();
                  if (result) {
                    out.latency = result->latency;
                    out.head = evm::parse_head(*result, known->target);
                  } else {
                    out.latency = result.error().after;
                    out.head = std::unexpected(std::move(result.error().what));
                  }
                  handler(std::move(out));
                });
}

void Prober::ask(std::size_t target, const Ask& ask, std::move_only_function<void(Answer)> handler) {
  const std::shared_ptr<Known>& known = known_[target];
  const config::Canary* canary = ask.question == Question::kCanary ? &known->canaries[ask.argument] : nullptr;
  // The client keeps a view of it until the answer is there.
  auto body = std::make_unique<const std::string>(evm::request(ask, canary));
  const std::string_view view = *body;
  client_.start(known->target, view, settings_.timeout,
                [known, ask, body = std::move(body), handler = std::move(handler)](HttpResult result) mutable {
                  if (known->removed) return;
                  Answer out{read_clocks(), ask, {}};
                  if (result)
                    out.value = evm::parse_answer(ask, *result, known->target);
                  else
                    out.value = std::unexpected(std::move(result.error().what));
                  handler(std::move(out));
                });
}

}  // namespace rpc
}  // namespace rpcw
