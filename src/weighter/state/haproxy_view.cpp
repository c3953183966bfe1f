#include "weighter/state/haproxy_view.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "weighter/constants.hpp"

namespace rpcw {
namespace {

bool disabled(const haproxy::ServerRow& row) {
  // Below the level that shows the admin state, the status is the best there is. DRAIN there may be our own zero.
  return row.admin_state ? row.forced_off() : row.status.starts_with("MAINT");
}

}  // namespace

bool down(const haproxy::ServerRow& row) {
  // "NOLB" is what `http-check disable-on-404` makes of a server that answers 404: bound clients reach it, no others.
  return row.status.starts_with("DOWN") || row.status.starts_with("NOLB");
}

bool usable(const haproxy::ServerRow& row) {
  // DRAIN is what it shows of a weight of 0, too.
  return !row.forced_off() &&
         (row.status.starts_with("UP") || row.status == "no check" || row.status.starts_with("DRAIN"));
}

std::string admin_state_text(const haproxy::ServerRow& row) {
  if (!row.admin_state) return row.status.starts_with("MAINT") ? "maint" : "";
  if ((*row.admin_state & haproxy::kForcedMaint) != 0) return "maint";
  if ((*row.admin_state & haproxy::kForcedDrain) != 0) return "drain";
  return "ready";
}

bool stuck(const haproxy::BackendRow& backend, const haproxy::ServerRow& server) {
  // 100 % of a configured 0 is 0.
  return backend.percent && server.iweight == 0U;
}

NameSet names_of(const config::Backend& cfg) {
  NameSet out;
  for (const config::Server& s : cfg.servers) out.insert(s.name);
  return out;
}

bool has_usable_foreign_backup(const config::Backend& cfg, const haproxy::BackendRow& row) {
  const auto takes_over = [](const haproxy::ServerRow& s) { return s.backup && s.uweight > 0 && usable(s); };
  if (std::ranges::none_of(row.servers, takes_over)) return false;
  const NameSet ours = names_of(cfg);
  return std::ranges::any_of(row.servers,
                             [&](const haproxy::ServerRow& s) { return takes_over(s) && !ours.contains(s.name); });
}

BackendView view_of(const config::Backend& cfg, const haproxy::Instance& instance) {
  BackendView out;
  out.servers.resize(cfg.servers.size());
  out.worker_age =
      std::min(instance.uptime, std::chrono::duration_cast<std::chrono::seconds>(constants::kWorkerSettled));
  const haproxy::BackendRow* row = instance.backend(cfg.name);
  if (row == nullptr) return out;
  out.algorithm = row->algo;
  for (std::size_t i = 0; i < cfg.servers.size(); ++i) {
    const haproxy::ServerRow* s = row->server(cfg.servers[i].name);
    if (s != nullptr)
      out.servers[i] = ServerView{.disabled = disabled(*s),
                                  .backup = s->backup,
                                  .weight = s->uweight,
                                  .configured_weight = s->iweight,
                                  .down = down(*s),
                                  .stuck = stuck(*row, *s)};
  }
  out.usable_foreign_backup = has_usable_foreign_backup(cfg, *row);
  return out;
}

void join(BackendView& out, BackendView&& other) {
  if (out.algorithm.empty()) out.algorithm = std::move(other.algorithm);
  out.usable_foreign_backup = out.usable_foreign_backup || other.usable_foreign_backup;
  for (std::size_t i = 0; i < out.servers.size(); ++i) {
    std::optional<ServerView>& to = out.servers[i];
    const std::optional<ServerView>& from = other.servers[i];
    if (!to) {
      to = from;
    } else if (from) {
      to->disabled = to->disabled && from->disabled;
      to->down = to->down && from->down;
      to->stuck = to->stuck && from->stuck;
    }
  }
}

bool same_circumstances(const BackendView& a, const BackendView& b) {
  return a.usable_foreign_backup == b.usable_foreign_backup && a.algorithm == b.algorithm &&
         std::ranges::equal(a.servers, b.servers, [](const auto& x, const auto& y) {
           return x.has_value() == y.has_value() && (!x || (x->disabled == y->disabled && x->backup == y->backup &&
                                                            x->down == y->down && x->stuck == y->stuck));
         });
}

}  // namespace rpcw
