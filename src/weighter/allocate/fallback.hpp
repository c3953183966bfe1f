#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Fewer than min_healthy are healthy: targets as the configuration's `fallback` has them, for servers of the best
/// standing that HAProxy can use. Sets `out.fallback` to what is done, which is kEqual where nothing could be kept.
void fall_back(Allocation& a, const Members& active, const Members& backups);

/// What a fallback does with these servers, for people: a clause without a full stop. Where all that answer are on
/// another chain it asks for the configuration's `chain`.
std::string fallback_text(config::Fallback fallback, const std::vector<const ServerDecision*>& servers);

}  // namespace rpcw
