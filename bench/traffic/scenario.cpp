#include "traffic/scenario.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace rpcw::bench {
namespace {

// ---- kinds of faults

constexpr const char* kStale = R"({"frozen":true})";
constexpr const char* kHang = R"({"fault":"hang"})";
constexpr const char* kHalf500 = R"({"fault":"http_status","http_status":500,"fault_ratio":0.5})";
constexpr const char* kRefused = R"({"fault":"refuse"})";
constexpr const char* kAhead = R"({"ahead_blocks":1000})";
constexpr const char* kWrongChain = R"({"chain_id":5})";
constexpr const char* kRpcError = R"({"fault":"rpc_error"})";
constexpr const char* kHtml = R"({"fault":"html"})";
constexpr const char* kEightBehind = R"({"lag_blocks":8})";
constexpr const char* kTwelveBehind = R"({"lag_blocks":12})";
constexpr const char* kFlaps500 = R"({"fault":"http_status","http_status":500,"flap_ms":4000})";
// What probes and checks ask for works.
constexpr const char* kReal500 =
    R"({"fault":"http_status","http_status":500,
        "fault_methods":["eth_call","eth_getBalance","eth_getLogs","eth_getTransactionReceipt"]})";
constexpr const char* kRealHang = R"({"fault":"hang","fault_methods":["eth_call"]})";

/// A head that stands still is too far behind with the block after the last tolerable one.
constexpr double kStaleAfter = static_cast<double>(kMaxLagBlocks + 1);

/// A name for each provider, so that the tables below read as sentences.
enum : std::size_t { kP15, kP27, kP47, kP84, kP150 };

std::vector<Scenario> make() {
  std::vector<Scenario> out;

  out.push_back({"crashes",
                 "Stale head, hang, 30 times slower, half the answers 500, connection refused",
                 100,
                 {{"stale head", kP15, 4, 23, kStale, kStaleAfter},
                  {"hang", kP27, 27, 39, kHang},
                  {"30 times slower", kP47, 43, 55, R"({"latency_ms":1410})"},
                  {"half 500", kP15, 59, 73, kHalf500},
                  {"refused", kP27, 79, 92, kRefused}},
                 Form::kShort});

  out.push_back({"lies",
                 "Head in the future, wrong chain, JSON-RPC error in a 200, HTML in a 200, eight blocks behind",
                 100,
                 {{"future head", kP15, 5, 17, kAhead},
                  {"wrong chain", kP27, 22, 34, kWrongChain},
                  {"RPC error in 200", kP47, 40, 52, kRpcError},
                  {"HTML in 200", kP15, 58, 70, kHtml},
                  {"eight behind", kP27, 78, 92, kEightBehind}}});

  out.push_back({"quotas",
                 "The three fastest providers carry 20, 30 and 40 requests a second and refuse the rest with 429",
                 50,
                 {{"20 a second", kP15, 5, 45, R"({"quota_per_s":20})"},
                  {"30 a second", kP27, 5, 45, R"({"quota_per_s":30})"},
                  {"40 a second", kP47, 5, 45, R"({"quota_per_s":40})"}}});

  out.push_back({"hidden",
                 "Faults that only real traffic sees: other methods than the probe's answer 500, or hang",
                 50,
                 {{"500 on real methods", kP15, 5, 22, kReal500}, {"eth_call hangs", kP27, 28, 43, kRealHang}}});

  out.push_back({"flapping",
                 "The fastest answers 500 for two seconds, is well for two seconds, and so on",
                 50,
                 {{"flapping", kP15, 4, 44, kFlaps500}}});

  out.push_back({"blackout",
                 "All heads stand still at once; the providers recover one by one, the slowest first",
                 50,
                 {{"stale", kP15, 4, 36, kStale, kStaleAfter},
                  {"stale", kP27, 4, 32, kStale, kStaleAfter},
                  {"stale", kP47, 4, 28, kStale, kStaleAfter},
                  {"stale", kP84, 4, 24, kStale, kStaleAfter},
                  {"stale", kP150, 4, 20, kStale, kStaleAfter}}});

  // With the time-outs that many files have, and clients that give up before.
  constexpr Setting kThirty{.server_timeout_s = 30, .patience_s = 2};
  constexpr Setting kSixty{.server_timeout_s = 60, .patience_s = 2};
  const auto variant = [&](const char* of, const char* name, const char* how, Setting setting) {
    Scenario s = *std::ranges::find(out, of, &Scenario::name);
    s.name = name;
    s.title = s.title + "; " + how;
    s.form = Form::kComputed;
    s.setting = setting;
    out.push_back(std::move(s));
  };
  variant("crashes", "crashes-30s", "HAProxy waits 30 s, clients 2 s", kThirty);
  variant("crashes", "crashes-60s", "HAProxy waits 60 s, clients 2 s", kSixty);
  variant("hidden", "hidden-close", "clients leave after 1 s, and their requests end with them",
          {.server_timeout_s = 30, .patience_s = 1, .abort_on_close = true});
  variant("crashes", "crashes-once", "a failed connection is not tried elsewhere", {.redispatch = false});
  variant("lies", "lies-30s", "HAProxy waits 30 s, clients 2 s", kThirty);
  out.push_back({"apart",
                 "Faults of 4 to 8 s that begin 4 s after the end of the one before; HAProxy waits 30 s, clients 2 s",
                 100,
                 {{"hang", kP15, 4, 10, kHang},
                  {"half 500", kP27, 14, 20, kHalf500},
                  {"refused", kP47, 24, 30, kRefused},
                  {"hang", kP27, 34, 41, kHang},
                  {"RPC error in 200", kP15, 45, 53, kRpcError},
                  {"30 times slower", kP27, 57, 65, R"({"latency_ms":810})"},
                  {"hang", kP84, 69, 75, kHang},
                  {"refused", kP15, 79, 86, kRefused},
                  {"half 500", kP27, 90, 97, kHalf500}},
                 Form::kComputed,
                 kThirty});
  variant("apart", "apart-5s", "but HAProxy waits 5 s", {.server_timeout_s = 5, .patience_s = 2});
  variant("apart", "apart-60s", "but HAProxy waits 60 s", kSixty);

  out.push_back({"together",
                 "All but the slowest fall 12 blocks behind at once, and later stand still at once",
                 100,
                 {{"twelve behind", kP15, 5, 45, kTwelveBehind},
                  {"twelve behind", kP27, 5, 45, kTwelveBehind},
                  {"twelve behind", kP47, 5, 45, kTwelveBehind},
                  {"twelve behind", kP84, 5, 45, kTwelveBehind},
                  {"stale", kP15, 60, 90, kStale, kStaleAfter},
                  {"stale", kP27, 60, 90, kStale, kStaleAfter},
                  {"stale", kP47, 60, 90, kStale, kStaleAfter},
                  {"stale", kP84, 60, 90, kStale, kStaleAfter}},
                 Form::kComputed});

  out.push_back(
      {"capacity",
       "The two fastest providers answer 30 and 40 requests a second, one after the other, and let the rest wait",
       100,
       {{"30 a second", kP15, 5, 85, R"({"capacity_per_s":30})"},
        {"40 a second", kP27, 5, 85, R"({"capacity_per_s":40})"}},
       Form::kComputed});

  constexpr const char* kSixtyEach = R"({"capacity_per_s":60})";
  constexpr const char* kSixtyEachFailing = R"({"capacity_per_s":60,"fault":"rpc_error"})";
  out.push_back(
      {"tight",
       "Each provider answers 60 requests a second, one after the other; the two fastest fail for a while, and the "
       "others are used to nine tenths",
       100,
       {{"60 a second", kP15, 2, 30, kSixtyEach},
        {"60 a second", kP27, 2, 30, kSixtyEach},
        {"60 a second", kP47, 2, 95, kSixtyEach},
        {"60 a second", kP84, 2, 95, kSixtyEach},
        {"60 a second", kP150, 2, 95, kSixtyEach},
        {"RPC error in 200", kP15, 30, 60, kSixtyEachFailing},
        {"RPC error in 200", kP27, 30, 60, kSixtyEachFailing},
        {"60 a second", kP15, 60, 95, kSixtyEach},
        {"60 a second", kP27, 60, 95, kSixtyEach}},
       Form::kComputed});

  const auto alone = [&](const char* name, const char* kind, const char* behaviour, double bad_after = 0) {
    out.push_back({name,
                   std::string("Alone, on the fastest: ") + kind,
                   45,
                   {{kind, kP15, 5, 25 + bad_after, behaviour, bad_after}},
                   Form::kAlone});
  };
  out.push_back({"calm", "Nothing happens", 45, {}, Form::kAlone});
  alone("stale", "stale head", kStale, kStaleAfter);
  alone("hang", "hang", kHang);
  alone("slow", "30 times slower", R"({"latency_ms":450})");
  alone("half500", "half 500", kHalf500);
  alone("refused", "refused", kRefused);
  alone("future", "future head", kAhead);
  alone("wrong-chain", "wrong chain", kWrongChain);
  alone("rpc-error", "RPC error in 200", kRpcError);
  alone("html", "HTML in 200", kHtml);
  alone("behind", "eight behind", kEightBehind);
  return out;
}

void check(const std::vector<Scenario>& all) {
  for (const Scenario& s : all) {
    for (std::size_t i = 0; i < s.faults.size(); ++i) {
      const Fault& f = s.faults[i];
      const bool in_time = f.from_s >= 0 && f.bad_from_s() < f.to_s && f.to_s <= s.seconds;
      if (!in_time || f.provider >= providers().size()) throw std::logic_error(s.name + ": " + f.kind);
      for (std::size_t k = 0; k < i; ++k)
        if (s.faults[k].provider == f.provider && f.from_s < s.faults[k].to_s)
          throw std::logic_error(s.name + ": two faults of one provider at once: " + f.kind);
      faulty(f);
    }
  }
}

}  // namespace

std::span<const ProviderSpec> providers() {
  static const std::array<ProviderSpec, 5> kProviders{
      {{"p15", 15}, {"p27", 27}, {"p47", 47}, {"p84", 84}, {"p150", 150}}};
  return kProviders;
}

std::span<const Method> methods() {
  static constexpr std::array<Method, 6> kMethods{{
      {"eth_call", R"([{"to":"0x6b175474e89094c44da98b954eedeac495271d0f","data":"0x18160ddd"},"latest"])", 40},
      {"eth_getBalance", R"(["0x00000000219ab540356cbb839cbe05303d7705fa","latest"])", 20},
      {"eth_getTransactionReceipt", R"(["0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"])", 15},
      {"eth_blockNumber", "[]", 10},
      {"eth_getBlockByNumber", R"(["latest",false])", 10},
      {"eth_getLogs", R"([{"fromBlock":"latest","address":"0x6b175474e89094c44da98b954eedeac495271d0f"}])", 5},
  }};
  return kMethods;
}

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> kScenarios = [] {
    auto all = make();
    check(all);
    return all;
  }();
  return kScenarios;
}

sim::Behaviour healthy(std::size_t provider) {
  sim::Behaviour b;
  b.latency_ms = providers()[provider].latency_ms;
  b.latency_sigma = kLatencySigma;
  return b;
}

sim::Behaviour faulty(const Fault& fault) {
  auto merged = sim::merge(healthy(fault.provider), fault.behaviour);
  if (!merged) throw std::logic_error(fault.kind + ": " + merged.error());
  return *std::move(merged);
}

}  // namespace rpcw::bench
