#include <array>
#include <memory>
#include <string>
#include <vector>

#include "config/chain.hpp"
#include "config/config.hpp"
#include "fuzz/targets.hpp"
#include "rpc/family/recognise.hpp"
#include "rpc/family/registry.hpp"
#include "rpc/http_target.hpp"
#include "rpc/json_pick.hpp"

namespace rpcw::fuzz {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kReceived{milliseconds{1'795'243'205'000}};
constexpr std::array<long, 6> kStatuses{200, 200, 200, 404, 429, 500};
constexpr std::array kKinds{CheckKind::kIdentity, CheckKind::kSyncing, CheckKind::kPeers, CheckKind::kBlock,
                            CheckKind::kCanary};
/// Parts of an input that are answers of their own.
constexpr char kNextAnswer = '\x1e';

const rpc::HttpTarget& provider() {
  static const rpc::HttpTarget kProvider = [] {
    rpcw::config::Target t;
    t.url = "https://provider.test/v2/" + std::string(kKey);
    return rpc::HttpTarget(t);
  }();
  return kProvider;
}

void fit_to_show(const ProbeFailure& failure) {
  must(failure.detail.find(kKey) == std::string::npos, "no failure's text holds a key");
  must(failure.detail.size() < 1000, "a failure's text is short");
}

}  // namespace

/// Two bytes choose family, check and status; the rest is the body, or several.
void answers(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const auto families = rpc::family::all();
  const rpc::family::Family& family = *families[static_cast<unsigned char>(bytes[0]) % families.size()];
  const auto how = static_cast<unsigned char>(bytes[1]);
  bytes.remove_prefix(2);
  const long status = kStatuses[how % kStatuses.size()];
  std::vector<std::string_view> bodies;
  for (std::string_view rest = bytes;;) {
    const std::size_t end = rest.find(kNextAnswer);
    bodies.push_back(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  const auto answer_of = [&](std::string_view body) { return rpc::HttpAnswer{status, body, 5ms, {}}; };
  const rpc::family::Context context{provider(), nullptr, kReceived};

  std::vector<rpc::family::Outcome> outcomes;
  for (std::size_t i = 0; i < family.head_requests().size(); ++i)
    outcomes.emplace_back(family.read_head(i, answer_of(bodies[i % bodies.size()])));
  if (const auto head = family.head(outcomes, context); !head) fit_to_show(head.error());

  rpcw::config::Canary canary;
  canary.method = "eth_call";
  canary.expect = "/result";
  canary.matches = rpcw::config::Pattern::make("^0x[0-9a-f]+$").value();
  for (const CheckKind kind : kKinds) {
    if (!family.offers(kind)) continue;
    const Check check{kind, kind == CheckKind::kBlock ? 100U : 0U};
    const rpcw::config::Canary* const asked = kind == CheckKind::kCanary ? &canary : nullptr;
    const auto value = family.answer(check, family.read(kind, answer_of(bodies[0]), asked), context, asked);
    if (!value) fit_to_show(value.error());
    static_cast<void>(family.values_in(kind, bodies[0]));
  }
  if (family.batches())
    for (const auto& reply : family.read_batch(answer_of(bodies[0]), 1 + how % 5U))
      if (reply) must(reply->values.size() <= rpc::kMostPointers, "a part of a batch is a reply");

  rpc::family::Recogniser recogniser(provider());
  for (std::size_t i = 0; recogniser.next() != nullptr; ++i) {
    must(i < rpc::family::Recogniser::kMostRequests, "a family is found by a few requests");
    recogniser.answered(answer_of(bodies[i % bodies.size()]));
  }
}

}  // namespace rpcw::fuzz
