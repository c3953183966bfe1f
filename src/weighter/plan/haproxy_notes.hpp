#pragma once

#include <vector>

#include "config/config.hpp"
#include "weighter/judge/reason.hpp"
#include "weighter/state/topology.hpp"

namespace rpcw {

/// What HAProxy's settings and state of a backend mean for the weights of the servers that the file names:
/// `ignores_weights`, `agent_check`, `tracks`, `slowstart`, `down`, `contended`.
std::vector<BackendNote> haproxy_notes(const config::Backend& backend, const haproxy::BackendRow& row);

/// Whether a note is for whoever runs this, who has to change something; the others are what happens every day.
bool told_in_log(const BackendNote& note);

}  // namespace rpcw
