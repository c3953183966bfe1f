#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rpcw::observe {

/// What `rpc-weighter top` shows. Values of JSON documents, so that any agent's can be shown.
struct TopServer {
  std::string name;
  std::string state;
  /// All reasons as `code: detail`, joined by "; "; empty: none.
  std::string reason;
  unsigned weight = 0;
  /// 0..1 of its backend's traffic by the weights; negative, as below: not known, as with an agent of an earlier
  /// version.
  double share = -1;
  double latency_ms = -1;
  double lag_ms = -1;
  double errors = -1;
  /// Oldest first, negative: not known; empty: no history.
  std::vector<double> latency_hour{};
  std::vector<double> weight_hour{};
};

struct TopBackend {
  std::string name;
  /// Such as "ethereum, adaptive, head 123 by 3, fallback equal".
  std::string facts;
  std::vector<TopServer> servers;
};

/// Of several agents, which one sets the weights.
struct TopStandby {
  std::string lease;
  bool acts = false;
  /// Empty: none does, or it is not known.
  std::string holder{};
  /// Why the API server was asked in vain; empty: it was not.
  std::string error{};
};
/// Such as "pod-1_0123 holds kubernetes:rpc/weighter and sets the weights; this agent stands by".
std::string to_text(const TopStandby& standby);

struct TopState {
  /// As the report has it; empty: nothing was read yet.
  std::string time;
  /// Such as "HAProxy 1 of 2", and behind it whether the agent acts, where several may.
  std::string haproxy;
  /// What is wrong with HAProxys, each with its endpoint; empty: nothing.
  std::vector<std::string> errors{};
  /// Absent: the agent is alone.
  std::optional<TopStandby> standby{};
  std::vector<TopBackend> backends;
};

/// From /api/v1/status, with what /api/v1/history has where that is not empty. False: this is no such document, and
/// `out` stays as it is.
bool read_top(const std::string& status, const std::string& history, TopState& out);

enum class TopSort : std::uint8_t { kFile, kShare, kLatency, kState };

struct TopView {
  /// At least 40 and 5.
  std::size_t columns = 80;
  /// 0: as many as there are.
  std::size_t rows = 0;
  /// Index, modulo their number.
  std::size_t backend = 0;
  TopSort sort = TopSort::kFile;
  /// Servers that are left out at the top.
  std::size_t scroll = 0;
  bool paused = false;
  bool colour = false;
  bool utf8 = true;
  /// Such as "no answer since 12:00:01"; empty: none.
  std::string trouble{};
};

/// Lines without line ends, none wider than `columns`, at most `rows`. All backends where `rows` is 0, else the chosen
/// one.
std::vector<std::string> render_top(const TopState& state, const TopView& view);

/// Eight heights in UTF-8, one for each of the last `width` values; a blank for what is not known.
std::string sparkline(const std::vector<double>& values, std::size_t width);

}  // namespace rpcw::observe
