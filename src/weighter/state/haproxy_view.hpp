#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

#include "config/config.hpp"
#include "weighter/allocate/decide.hpp"
#include "weighter/state/topology.hpp"

/// What a HAProxy shows of a backend, as decisions and plans see it. Pure.
namespace rpcw {

/// Whether HAProxy would send this server traffic if it had a weight.
bool usable(const haproxy::ServerRow& row);

/// Whether HAProxy's own check (or its agent's word) keeps new requests from it.
bool down(const haproxy::ServerRow& row);

/// What an operator has set: "ready", "maint" or "drain"; empty: not known.
std::string admin_state_text(const haproxy::ServerRow& row);

/// Its weight in haproxy.cfg is 0, of which this backend takes only percentages.
bool stuck(const haproxy::BackendRow& backend, const haproxy::ServerRow& server);

using NameSet = std::unordered_set<std::string_view>;
/// The names of the file's servers, whose texts must stay.
NameSet names_of(const config::Backend& cfg);

/// Whether a backup server that the file does not name would take over.
bool has_usable_foreign_backup(const config::Backend& cfg, const haproxy::BackendRow& row);

BackendView view_of(const config::Backend& cfg, const haproxy::Instance& instance);

/// Of several HAProxys. Each has its own states; a server that gets traffic from any of them is in use.
void join(BackendView& out, BackendView&& other);

/// What a decision depends on, beyond the weights themselves.
bool same_circumstances(const BackendView& a, const BackendView& b);

}  // namespace rpcw
