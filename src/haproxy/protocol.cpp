#include "haproxy/protocol.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace rpcw::haproxy {
namespace {

constexpr std::size_t kMaxName = 1000;
constexpr std::size_t kMaxWords = 200;
constexpr unsigned kMaxWeight = 256;

/// Length of the prefix that `severity-output number` ("[3]: ") or `string` ("[err]: ") puts before a message; 0: none.
/// A line of the prefix alone keeps it: an empty line would mean the end of the reply.
std::size_t severity_prefix(std::string_view line) {
  if (!line.starts_with('[')) return 0;
  const auto end = line.find("]: ");
  if (end == std::string_view::npos || end + 3 >= line.size()) return 0;
  static constexpr std::array<std::string_view, 8> kLevels{"emerg",   "alert",  "crit", "err",
                                                           "warning", "notice", "info", "debug"};
  const auto level = line.substr(1, end - 1);
  const bool number = !level.empty() && level.find_first_not_of("0123456789") == std::string_view::npos;
  const bool known = number || std::ranges::find(kLevels, level) != kLevels.end();
  return known ? end + 3 : 0;
}

std::string weight_command(std::string_view backend, std::string_view server, unsigned weight, std::string_view unit) {
  if (!valid_name(backend) || !valid_name(server)) {
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(backend) + "/" + presentable(server));
  }
  std::string command;
  command.reserve(backend.size() + server.size() + 18);
  command.append("set weight ").append(backend).append("/").append(server).append(" ");
  command.append(std::to_string(weight)).append(unit);
  return command;
}

}  // namespace

std::vector<Line> pack(std::span<const std::string> commands, std::size_t max_line, std::string_view prefix) {
  std::vector<Line> lines;
  for (const auto& command : commands) {
    if (command.empty() || command.find_first_of(std::string_view("\n\r;\0", 4)) != std::string::npos) {
      throw std::invalid_argument("not one command: " + presentable(command));
    }
    const auto size = prefix.size() + command.size() + 1;  // with the separator or line end that follows it
    if (size > max_line) throw std::invalid_argument("command too long: " + presentable(command));
    if (lines.empty() || lines.back().text.size() + size > max_line) {
      lines.emplace_back().text.reserve(max_line);
    } else {
      lines.back().text.back() = ';';
    }
    auto& line = lines.back();
    line.text.append(prefix).append(command).push_back('\n');
    ++line.replies;
  }
  return lines;
}

void ReplyReader::reset(std::size_t expected, std::size_t max_bytes) {
  used_ = line_ = scanned_ = removed_ = 0;
  ends_.clear();
  expected_ = expected;
  max_bytes_ = max_bytes;
  state_ = expected == 0 ? State::kFinished : State::kMore;
}

std::span<char> ReplyReader::prepare(std::size_t at_least) {
  // Removed prefixes count too: a hostile peer could send nothing else.
  const auto limit = max_bytes_ - removed_;
  const auto wanted = std::min(used_ + at_least, limit);
  if (buffer_.size() < wanted) buffer_.resize(std::min(std::max(wanted, buffer_.size() * 2), limit));
  // A buffer kept from a larger exchange does not widen the limit of this one.
  const auto end = std::min(buffer_.size(), limit);
  return {buffer_.data() + used_, end > used_ ? end - used_ : 0};
}

ReplyReader::State ReplyReader::commit(std::size_t bytes) {
  used_ += bytes;
  // Lines move down over the prefixes that were removed from lines before them.
  std::size_t kept = line_;
  std::size_t line = line_;
  const auto keep = [&](std::size_t begin, std::size_t end) {
    if (kept != begin) std::memmove(buffer_.data() + kept, buffer_.data() + begin, end - begin);
    kept += end - begin;
  };
  while (state_ == State::kMore) {
    const auto* found = std::memchr(buffer_.data() + scanned_, '\n', used_ - scanned_);
    if (found == nullptr) {
      scanned_ = used_;
      break;
    }
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
    if (at == line) {
      ends_.push_back(kept);
      if (ends_.size() == expected_) state_ = State::kFinished;
    }
    const auto prefix = severity_prefix({buffer_.data() + line, at - line});
    removed_ += prefix;
    keep(line + prefix, at + 1);
    line = scanned_ = at + 1;
  }
  line_ = kept;
  scanned_ -= line - kept;
  keep(line, used_);
  used_ = kept;
  if (state_ == State::kMore && used_ + removed_ >= max_bytes_) state_ = State::kTooLarge;
  return state_;
}

ReplyReader::State ReplyReader::feed(std::string_view bytes) {
  while (!bytes.empty() && state_ == State::kMore) {
    const auto room = prepare(bytes.size());
    const auto count = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    commit(count);
  }
  return state_;
}

std::string_view ReplyReader::reply(std::size_t index) const {
  const auto begin = index == 0 ? 0 : ends_.at(index - 1) + 1;
  std::string_view text(buffer_.data() + begin, ends_.at(index) - begin);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

std::string_view ReplyReader::rest() const {
  const auto begin = ends_.empty() ? 0 : ends_.back() + 1;
  return {buffer_.data() + begin, used_ - begin};
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':' || c == '-';
  });
}

std::string set_weight_command(std::string_view backend, std::string_view server, unsigned weight) {
  if (weight > kMaxWeight) throw std::invalid_argument("weight above 256: " + std::to_string(weight));
  return weight_command(backend, server, weight, "");
}

std::string set_weight_percent_command(std::string_view backend, std::string_view server, unsigned percent) {
  if (percent > 100) throw std::invalid_argument("weight above 100%: " + std::to_string(percent));
  return weight_command(backend, server, percent, "%");
}

std::string set_state_command(std::string_view backend, std::string_view server, bool drain) {
  if (!valid_name(backend) || !valid_name(server))
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(backend) + "/" + presentable(server));
  return "set server " + std::string(backend) + "/" + std::string(server) + " state " + (drain ? "drain" : "ready");
}

std::string release_command(const ReleaseCommand& command) {
  if (!valid_name(command.backend) || !valid_name(command.server))
    throw std::invalid_argument("not a name HAProxy can have: " + presentable(command.backend) + "/" +
                                presentable(command.server));
  if (command.kind == ReleaseCommand::Kind::kShutdownSessions)
    return "shutdown sessions server " + command.backend + "/" + command.server;
  if (command.sid == 0) throw std::invalid_argument("HAProxy does not show the server's number");
  return "clear table " + command.backend + " data.server_id eq " + std::to_string(command.sid);
}

namespace {

constexpr std::string_view kNeedsAdmin = "; its `stats socket` line needs `level admin`";
constexpr std::string_view kStaticWords = "Backend is using a static LB algorithm";

}  // namespace

Verdict classify_set_weight(std::string_view reply) {
  if (reply.empty()) return {};
  struct Known {
    std::string_view words;
    Refusal refusal;
  };
  static constexpr std::array kKnown{
      Known{"No such backend", Refusal::kNoSuchBackend},
      Known{"No such server", Refusal::kNoSuchServer},
      Known{kStaticWords, Refusal::kStaticAlgorithm},
      Known{"Permission denied", Refusal::kPermissionDenied},
      Known{"Absolute weight can only be", Refusal::kBadWeight},
      Known{"Relative weight", Refusal::kBadWeight},
      Known{"Empty weight string", Refusal::kBadWeight},
      Known{"Trailing garbage in weight string", Refusal::kBadWeight},
      Known{"Require <weight>", Refusal::kBadWeight},
      Known{"Proxy is disabled", Refusal::kDisabled},
  };
  Verdict verdict{.refusal = Refusal::kOther, .words = presentable(reply)};
  for (const auto& known : kKnown) {
    if (verdict.words.starts_with(known.words)) verdict.refusal = known.refusal;
  }
  if (verdict.words.empty()) verdict.words = "an answer of blanks";
  if (verdict.refusal == Refusal::kPermissionDenied) verdict.words += kNeedsAdmin;
  return verdict;
}

bool line_too_big(std::string_view reply) {
  return reply.starts_with("The command line is too big for the buffer");
}

std::string presentable(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
  const bool cut = text.size() > kMaxWords;
  std::string result(text.substr(0, cut ? kMaxWords - 3 : text.size()));
  for (auto& c : result) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (cut) result += "...";
  return result;
}

}  // namespace rpcw::haproxy
