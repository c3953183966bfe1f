#pragma once

#include "base/time.hpp"

/// From when on a missing answer counts. Pure.
namespace rpcw {

/// How long a probe may go without an answer before that counts against the server. `usual_ms`: the target's usual
/// latency; 0: not known. New connections and single slow answers stay below.
milliseconds no_answer_noticed(double usual_ms);
/// How long before HAProxy's counters are read, which may show the same; at most the time above.
milliseconds silence_suspected(double usual_ms);

}  // namespace rpcw
