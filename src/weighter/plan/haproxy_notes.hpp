#pragma once

#include <vector>

#include "config/config.hpp"
#include "weighter/state/reason.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// What this HAProxy does not have of what the file names, as sentences: the backend, or servers of it, with those that
/// it has instead. Empty: nothing is missing.
std::vector<std::string> lacking(const config::Backend& backend, const haproxy::Instance& instance);

/// Why weights do not reach what the configuration names, or have no effect there, each a sentence: a backend or server
/// that HAProxy lacks, several servers of one name, `balance first`. Empty: nothing is in the way.
std::vector<std::string> out_of_reach(const config::Config& config, const haproxy::Instance& instance);

/// What HAProxy's settings and state of a backend mean for the weights of the servers that the file names:
/// `ignores_weights`, `duplicate_names`, `persistence`, `per_connection`, `hash_dead_band`, `agent_check`,
/// `agent_unanswered`, `tracks`, `slowstart`, `down`, `configured_zero`, `stuck_at_zero`, `contended`.
std::vector<BackendNote> haproxy_notes(const config::Backend& backend, const haproxy::BackendRow& row);

/// Whether the operator has to change something because of the note; the other notes are everyday events.
bool is_logged(const BackendNote& note);

}  // namespace rpcw
