#include "rpc/prober.hpp"

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
namespace {

std::vector<HttpTarget> prepare(std::span<const Prober::Subject> subjects) {
  std::vector<HttpTarget> out;
  out.reserve(subjects.size());
  for (const Prober::Subject& s : subjects) out.emplace_back(*s.target);
  return out;
}

}  // namespace

Prober::Prober(boost::asio::io_context& io, const config::Probe& settings, std::vector<Subject> subjects,
               Resolver::Lookup lookup)
    : settings_(settings),
      subjects_(std::move(subjects)),
      targets_(prepare(subjects_)),
      client_(io, settings, targets_.size(), std::move(lookup)) {}

void Prober::head(std::size_t target, std::move_only_function<void(HeadObservation)> handler) {
  const HttpTarget& t = targets_[target];
  client_.start(t, evm::kHeadRequest, settings_.timeout, [&t, handler = std::move(handler)](HttpResult result) mutable {
    HeadObservation out;
    out.received = read_clocks();
    if (result) {
      out.latency = result->latency;
      out.head = evm::parse_head(*result, t);
    } else {
      out.latency = result.error().after;
      out.head = std::unexpected(std::move(result.error().what));
    }
    handler(std::move(out));
  });
}

void Prober::ask(std::size_t target, const Ask& ask, std::move_only_function<void(Answer)> handler) {
  const HttpTarget& t = targets_[target];
  const config::Canary* canary =
      ask.question == Question::kCanary ? &subjects_[target].canaries[ask.argument] : nullptr;
  // The client keeps a view of it until the answer is there.
  auto body = std::make_unique<const std::string>(evm::request(ask, canary));
  const std::string_view view = *body;
  client_.start(t, view, settings_.timeout,
                [&t, ask, body = std::move(body), handler = std::move(handler)](HttpResult result) mutable {
                  Answer out{read_clocks(), ask, {}};
                  if (result)
                    out.value = evm::parse_answer(ask, *result, t);
                  else
                    out.value = std::unexpected(std::move(result.error().what));
                  handler(std::move(out));
                });
}

}  // namespace rpc
}  // namespace rpcw
