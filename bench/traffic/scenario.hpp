#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/sim.hpp"

/// The faults of each provider and their times: data, which the rest of the benchmark carries out. All times are
/// seconds since the scenario's start.
namespace rpcw::bench {

struct ProviderSpec {
  std::string name;
  /// Median; the spread is kLatencySigma.
  double latency_ms;
};

/// Standard deviation of the latencies' logarithm: 1 % of the answers take 1.4 times the median.
inline constexpr double kLatencySigma = 0.15;

/// Five, from 15 to 150 ms in even ratios, fastest first.
std::span<const ProviderSpec> providers();

/// What the chain and its users agree on; in the contestants' configurations as well.
inline constexpr std::uint64_t kChainId = 1;
inline constexpr std::chrono::milliseconds kBlockTime{1000};
inline constexpr std::uint64_t kMaxLagBlocks = 5;
inline constexpr std::chrono::milliseconds kMaxLag = kMaxLagBlocks * kBlockTime;
inline constexpr std::chrono::milliseconds kMaxBlockAge{15'000};

/// Arrivals a second, of each contestant.
inline constexpr double kRequestsPerSecond = 150;

/// Seconds under load before a scenario's start: all contestants have found their weights.
inline constexpr double kWarmUp = 8.0;

struct Method {
  std::string_view name;
  std::string_view params;
  /// Per cent of the requests.
  unsigned share;
};
/// Roughly what wallets and indexers ask for; the shares add up to 100.
std::span<const Method> methods();

struct Fault {
  /// For tables and charts, such as "stale head".
  std::string kind;
  /// Index into providers().
  std::size_t provider;
  double from_s;
  double to_s;
  /// Members of sim::Behaviour that differ meanwhile, as a JSON object.
  std::string behaviour;
  /// Its answers turn bad so long after `from_s`: a head that stands still is stale only when it is too far behind.
  /// At least a second if not 0.
  double bad_after_s = 0;

  double bad_from_s() const { return from_s + bad_after_s; }
};

/// kShort: measured in the short form, too. kComputed: measured only if it is named. kAlone: one fault alone, measured
/// once in the full form and computed only if it is named.
enum class Form : std::uint8_t { kShort, kFull, kComputed, kAlone };

/// How HAProxy is configured, and how long its clients wait.
struct Setting {
  /// `timeout server`: a provider's silence is an error for HAProxy after this.
  double server_timeout_s = 5;
  /// A client closes its connection so long after its request was due. By default longer than HAProxy waits.
  double patience_s = 6;
  /// A connection that fails is tried again with another server, not with the same one.
  bool redispatch = true;
  /// `option abortonclose`, which is the default for HTTP from HAProxy 3.3 on: a request ends when its client leaves.
  bool abort_on_close = false;
};

struct Scenario {
  /// A word, for options and file names.
  std::string name;
  /// A line, for headings.
  std::string title;
  double seconds;
  /// In the order of their beginnings; those of one provider do not overlap.
  std::vector<Fault> faults;
  Form form = Form::kFull;
  Setting setting{};
};

/// Throws std::logic_error if the tables contradict what is said above.
const std::vector<Scenario>& scenarios();

/// A provider without a fault.
sim::Behaviour healthy(std::size_t provider);
sim::Behaviour faulty(const Fault& fault);

}  // namespace rpcw::bench
