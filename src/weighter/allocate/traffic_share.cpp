#include "weighter/allocate/traffic_share.hpp"

namespace rpcw {

std::vector<double> traffic_shares(std::span<const TrafficClaim> servers, unsigned others) {
  const auto counts = [](const TrafficClaim& s, bool backup) { return s.backup == backup && !s.disabled; };
  const auto sum = [&](bool backup) {
    unsigned out = backup ? 0 : others;
    for (const TrafficClaim& s : servers)
      if (counts(s, backup)) out += s.weight;
    return out;
  };
  const unsigned active = sum(false);
  const bool backups_serve = active == 0;
  const unsigned total = backups_serve ? sum(true) : active;
  std::vector<double> out;
  out.reserve(servers.size());
  for (const TrafficClaim& s : servers)
    out.push_back(total > 0 && counts(s, backups_serve) ? static_cast<double>(s.weight) / total : 0.0);
  return out;
}

}  // namespace rpcw
