#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weighter/state/exchange.hpp"

/// The runtime API's protocol without any I/O: commands in, bytes out; bytes in, replies out. What replies to
/// `show` commands hold is in replies.hpp.
namespace rpcw::haproxy {

/// HAProxy takes one line a connection. Far below its default buffer (16384), since a longer one is refused whole by
/// newer releases and the gain beyond this is not measurable.
inline constexpr std::size_t kMaxLine = 4000;

/// What is sent over one connection.
struct Line {
  /// With the line end.
  std::string text;
  /// How many replies it must yield, one for each command.
  std::size_t replies = 0;
};

/// Joins commands with ";" (3.0 and later drop all but the first of newline-joined ones) into as few lines of at most
/// `max_line` bytes, line end included, as the order allows. `prefix` stands before each command: the master socket
/// wants "@1 " there, and applies it to one command only.
/// Throws std::invalid_argument for a command that is empty, holds a line end or ";", or does not fit in a line.
std::vector<Line> pack(std::span<const std::string> commands, std::size_t max_line = kMaxLine,
                       std::string_view prefix = {});

/// Cuts what arrives into replies. An empty line ends each of them. Every line loses the prefix that `severity-output`
/// on the `stats socket` line gives it, so that nothing else has to know of that setting.
class ReplyReader {
 public:
  enum class State : std::uint8_t {
    kMore,      ///< replies are missing
    kFinished,  ///< the expected number is there; what is fed now is left out
    kTooLarge,  ///< max_bytes arrived before the last reply's end; nothing more is taken
  };

  /// An unlimited number of bytes is never right: a broken or foreign server may never end its reply.
  ReplyReader(std::size_t expected, std::size_t max_bytes) { reset(expected, max_bytes); }

  /// Starts afresh and keeps the memory.
  void reset(std::size_t expected, std::size_t max_bytes);

  State feed(std::string_view bytes);

  /// The same without a copy: room for `at_least` bytes (fewer near max_bytes, never none while the state is kMore) to
  /// be filled from its beginning; `commit` says how many came.
  std::span<char> prepare(std::size_t at_least);
  State commit(std::size_t bytes);

  State state() const { return state_; }
  bool finished() const { return state_ == State::kFinished; }
  std::size_t expected() const { return expected_; }
  /// Complete replies so far.
  std::size_t count() const { return ends_.size(); }
  /// A complete reply without its last line end. Valid until the next feed, prepare or reset.
  std::string_view reply(std::size_t index) const;
  /// What came after the last complete reply, the prefix of a line without its end included. When finished this should
  /// be empty: if it is not, commands and replies do not belong together.
  std::string_view rest() const;

 private:
  /// [begin, end) of a reply in the buffer is [end of the one before + 1 or 0, ends_[i]), both ends at a line's start.
  std::string buffer_;
  std::size_t used_ = 0;
  std::size_t line_ = 0;
  std::size_t scanned_ = 0;
  /// Bytes of prefixes that are no longer in the buffer.
  std::size_t removed_ = 0;
  std::vector<std::size_t> ends_;
  std::size_t expected_ = 0;
  std::size_t max_bytes_ = 0;
  State state_ = State::kMore;
};

/// Whether HAProxy could have a backend or server of that name: letters, digits and "_.:-", 1 to 1000 of them.
bool valid_name(std::string_view name);

/// `set weight backend/server N`. Throws std::invalid_argument for an invalid name or a weight above 256.
std::string set_weight_command(std::string_view backend, std::string_view server, unsigned weight);
/// `set weight backend/server N%`, of the weight in haproxy.cfg; [0, 100]. The only form that static algorithms take.
std::string set_weight_percent_command(std::string_view backend, std::string_view server, unsigned percent);

/// `set server backend/server state drain`, or `ready`, which ends MAINT too. Throws std::invalid_argument for an
/// invalid name.
std::string set_state_command(std::string_view backend, std::string_view server, bool drain);

/// `shutdown sessions server` or `clear table`. Throws std::invalid_argument for an invalid name, and for kClearStick
/// without a `sid`.
std::string release_command(const ReleaseCommand& command);

struct Verdict {
  Refusal refusal = Refusal::kNone;
  /// HAProxy's own words; empty when done.
  std::string words;
  bool done() const { return refusal == Refusal::kNone; }
};
Verdict classify_set_weight(std::string_view reply);

/// HAProxy 3.4 and later: the line was longer than its buffer, and nothing of it ran.
bool line_too_big(std::string_view reply);

/// Foreign text made fit to be shown: trimmed, line ends, control and non-ASCII characters replaced, at most 200 bytes.
std::string presentable(std::string_view text);

}  // namespace rpcw::haproxy
