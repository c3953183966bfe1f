#include "store/recording.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

namespace rpcw::store {
namespace {

using std::chrono::steady_clock;

/// What is not yet handed to the system: enough for few calls, and little to lose in a crash.
constexpr std::size_t kBuffer = 256U << 10U;

/// A file that could not be written is tried again after this time: disks are cleared by people.
constexpr std::chrono::seconds kRetry{30};

/// Of turns before the state is followed. Longer waits, as for a HAProxy that does not come, are not recorded.
constexpr std::size_t kMostHeld = 8U << 20U;

/// Whether a replay by this version gets beyond the first line of the file. Its longest part does not matter: the
/// version comes first.
bool readable_here(int file) {
  constexpr std::string_view kVersion = R"("version":)";
  std::array<char, kSectionMark.size() + 32> first{};
  const ssize_t got = ::pread(file, first.data(), first.size(), 0);
  std::string_view text(first.data(), got < 0 ? 0 : static_cast<std::size_t>(got));
  text.remove_prefix(std::min(kSectionMark.size(), text.size()));
  if (!text.starts_with(kVersion)) return true;
  text.remove_prefix(kVersion.size());
  std::uint64_t version = 0;
  std::from_chars(text.data(), text.data() + text.size(), version);
  return version >= kOldestRecording && version <= kRecordingVersion;
}

std::string failure(std::string_view doing) {
  return fmt::format("{}: {}", doing, std::strerror(errno));
}

}  // namespace

Recording::Recording(std::string path, RecordingLimits limits, std::function<void(LogLine)> log)
    : path_(std::move(path)), limits_(limits), log_(std::move(log)) {}

Recording::~Recording() {
  write_out();
  close();
}

void Recording::follow(SystemState& state, Cause cause) {
  state_ = &state;
  targets_ = target_names(state);
  state.set_sink(this);
  if (file_ < 0) {
    if (!open()) return;
    complained_ = false;
  }
  begin_section(cause);
  if (!std::exchange(holding_, false)) return;
  buffer_ += held_;
  added_bytes_ += held_.size();
  held_ = {};
}

void Recording::controller_begins(const config::Config& file, const control::Options& options, bool continues) {
  turns_.emplace();
  holding_ = true;
  held_.clear();
  JsonWriter line;
  line.value(ControllerBegun{continues, options, file.haproxy.endpoints});
  add_turn(line.view());
}

void Recording::on_event(const control::Event& event, Now now) {
  if (turns_) turns_->begin(event, now);
}

void Recording::on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds) {
  if (turns_) add_turn(turns_->end(actions, now));
}

void Recording::add_turn(std::string_view line) {
  if (line.size() > kMostLine || held_.size() + line.size() > kMostHeld) return lose_turns();
  if (!holding_) return add_line(line);
  held_ += line;
  held_ += '\n';
}

void Recording::lose_turns() {
  turns_.reset();
  holding_ = false;
  held_ = {};
}

void Recording::record(const Event& event, const SystemState& state) {
  if (file_ < 0) return;
  std::vector<Step::Result> results;
  if (std::holds_alternative<event::Decided>(event)) {
    for (std::uint32_t b = 0; b < written_.size(); ++b) {
      const std::vector<ServerDecision>& servers = state.decision(b).servers;
      written_[b].resize(servers.size());
      for (std::uint32_t i = 0; i < servers.size(); ++i) {
        Outcome o = outcome_of(servers[i]);
        if (o.same(written_[b][i])) continue;
        written_[b][i] = o;
        results.push_back({b, i, std::move(o)});
      }
    }
  }
  write_step(line_, event, results, state, targets_);
  ++steps_;
  add_line(line_.view());
  line_.clear();
  // The state is as it is after this event, so a file can end here and the next one begin with all that is known.
  if (added_bytes_ >= limits_.file_bytes) rotate();
}

void Recording::flush() {
  write_out();
  if (file_ >= 0 || state_ == nullptr || steady_clock::now() < retry_at_) return;
  if (!open()) return;
  begin_section(Cause::kResumed);
  write_out();
  if (file_ < 0) return;
  complained_ = false;
  log_({config::LogLevel::kInfo, fmt::format("recording to {} again", path_), {}});
}

void Recording::begin_section(Cause cause) {
  const bool first = added_bytes_ == 0;
  written_.clear();
  write_section(line_, cause, std::chrono::floor<milliseconds>(std::chrono::system_clock::now()), steps_, *state_);
  add_line(line_.view());
  line_.clear();
  for (std::uint32_t b = 0; b < state_->config().backends.size(); ++b) {
    write_known(line_, *state_, b);
    add_line(line_.view());
    line_.clear();
    std::vector<Outcome>& outcomes = written_.emplace_back();
    for (const ServerDecision& s : state_->decision(b).servers) outcomes.push_back(outcome_of(s));
  }
  // What is known may be large, and a file could be full before it begins. Later sections do count: a list of servers
  // that changes all the time must not make a file that grows without end.
  if (first) added_bytes_ = 0;
}

/// Without its end.
void Recording::add_line(std::string_view line) {
  if (file_ < 0) return;
  buffer_ += line;
  buffer_ += '\n';
  added_bytes_ += line.size() + 1;
  if (buffer_.size() >= kBuffer) write_out();
}

bool Recording::open() {
  retry_at_ = steady_clock::now() + kRetry;
  // Without O_NONBLOCK a FIFO would be waited for.
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
  const auto refuse = [this](const std::string& why) {
    give_up(why);
    return false;
  };
  if (file_ < 0) return refuse(failure("it cannot be opened"));
  struct stat status {};
  if (::fstat(file_, &status) != 0) return refuse(failure("it cannot be looked at"));
  if (!S_ISREG(status.st_mode)) return refuse("it is no regular file");
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) return refuse("another process is recording there");
  added_bytes_ = size_ = static_cast<std::uint64_t>(status.st_size);
  if (size_ == 0) return true;
  std::array<char, kSectionMark.size()> first{};
  char last = 0;
  const bool ours = ::pread(file_, first.data(), first.size(), 0) == static_cast<ssize_t>(first.size()) &&
                    std::string_view(first.data(), first.size()) == kSectionMark &&
                    ::pread(file_, &last, 1, status.st_size - 1) == 1;
  if (!ours) return refuse("there is another file of this name already, which is no recording");
  // A crash may have cut the last line off; the next one must not be taken for its end.
  if (last != '\n') buffer_ += '\n';
  const bool readable = readable_here(file_);
  if (size_ < limits_.file_bytes && readable) return true;
  buffer_.clear();
  if (!put_aside()) return false;
  if (!readable)
    log_({config::LogLevel::kInfo,
          fmt::format("{} is a recording of another version's, which this one's could not be read with: it is {} now",
                      path_, rotated(1)),
          {}});
  return open();
}

void Recording::write_out() {
  std::size_t done = 0;
  while (file_ >= 0 && done < buffer_.size()) {
    const ssize_t n = ::write(file_, buffer_.data() + done, buffer_.size() - done);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    const std::string why = n == 0 ? "it takes no more" : failure("it cannot be written");
    // No half lines; should that fail too, a reader takes it for a crash.
    static_cast<void>(::ftruncate(file_, static_cast<off_t>(size_)) == 0);
    give_up(why);
    return;
  }
  size_ += done;
  buffer_.clear();
}

std::string Recording::rotated(unsigned number) const {
  return number == 0 ? path_ : fmt::format("{}.{}", path_, number);
}

void Recording::rotate() {
  write_out();
  if (file_ >= 0 && put_aside() && open()) begin_section(Cause::kRotation);
}

/// Makes room for a new file, each step of it atomic.
bool Recording::put_aside() {
  close();
  if (limits_.files <= 1) {
    if (::unlink(path_.c_str()) == 0) return true;
    give_up(failure("it cannot be removed"));
    return false;
  }
  for (unsigned i = limits_.files - 1; i > 0; --i) {
    if (std::rename(rotated(i - 1).c_str(), rotated(i).c_str()) == 0 || errno == ENOENT) continue;
    give_up(failure(fmt::format("it cannot be renamed to {}", rotated(i))));
    return false;
  }
  return true;
}

void Recording::give_up(const std::string& why) {
  close();
  buffer_.clear();
  written_.clear();
  lose_turns();
  retry_at_ = steady_clock::now() + kRetry;
  if (std::exchange(complained_, true)) return;
  log_({config::LogLevel::kWarn,
        fmt::format("cannot record to {}: {}; going on without, and trying again every {} s", path_, why,
                    kRetry.count()),
        {}});
}

void Recording::close() {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
}

}  // namespace rpcw::store
