#pragma once

#include <string>

#include "agent/replay/replay.hpp"
#include "observe/render.hpp"

/// What a replay has shown.
namespace rpcw::cli {

/// For people: a summary, and when anything differs, what and when. Ends with a newline.
std::string render_replay_table(const replay::Result& replayed, const observe::TableStyle& style);
/// Schema 1, one JSON object and a newline. Times in UTC; durations in ms.
std::string render_replay_json(const replay::Result& replayed);
/// One line a difference after a header line (RFC 4180, LF line ends).
std::string render_replay_csv(const replay::Result& replayed);

}  // namespace rpcw::cli
