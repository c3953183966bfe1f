#pragma once

#include <optional>
#include <span>

#include "base/time.hpp"
#include "weighter/state/history.hpp"
#include "weighter/state/live_delta.hpp"

/// How large the answers are: all that shows of errors which come with status 200.
namespace rpcw {

/// Notes a change of the size of its answers: errors and pages that come with status 200 are shorter than most results,
/// and HAProxy takes them for successes. Returns how far a new sample lies from the usual size; absent: there is none.
std::optional<double> note_sizes(AnswerSizes& sizes, const LiveDelta& delta, MonoTime now);

/// `off`: what `note_sizes` has returned for each server. `left`: the part of the others' samples that is left.
void compare_sizes(std::span<TargetHistory> servers, std::span<const std::optional<double>> off, double left);

/// Its answers have another size than they had, and the others' have not. Clients that begin to ask for something else
/// change all of them; until the others show it, they are taken for unchanged.
bool sizes_differ(const AnswerSizes& sizes);

/// The server returns after an ejection. The size that its answers usually have stays what it was.
void keep_usual_size(AnswerSizes& sizes);

}  // namespace rpcw
