#pragma once

#include "base/time.hpp"

/// When a probe without an answer says something. Pure.
namespace rpcw {

/// How long a probe may go without an answer before that says something, by the latency that is usual for the target in
/// ms; 0: none is known. New connections and single slow answers stay below.
milliseconds no_answer_noticed(double usual_ms);
/// Before that: when to look whether HAProxy sees the same.
milliseconds silence_suspected(double usual_ms);

}  // namespace rpcw
