#pragma once

#include <string_view>

#include "config/config.hpp"
#include "weighter/allocate/allocation.hpp"

namespace rpcw {

/// Fewer than min_healthy are healthy: targets as the configuration's `fallback` has them, for servers of the best
/// standing that HAProxy can use. Sets `out.fallback` to what is done, which is kEqual where nothing could be kept.
void fall_back(Allocation& a, const Members& active, const Members& backups);

/// What a fallback does, for people: a clause without a full stop. `some_have_none`: servers that HAProxy could use
/// have got nothing, since others answer.
std::string_view fallback_text(config::Fallback fallback, bool some_have_none);

}  // namespace rpcw
