#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/recording_format.hpp"
#include "weighter/controller/log_line.hpp"
#include "weighter/event_sink.hpp"

namespace rpcw::store {

struct RecordingLimits {
  /// A file that has grown by this many bytes since its first section began is put aside. Three servers probed every 5
  /// s write about 40 MB a day, so that four files hold nearly a week of them; and a file of this size,
  /// packed to a tenth, can still be sent by mail.
  std::uint64_t file_bytes = std::uint64_t{64} << 20U;
  /// FILE, FILE.1 and so on to FILE.(files - 1), the oldest. At least 1.
  unsigned files = 4;
};

/// Writes what a state hears and decides to a file, bounded. Every file, and every section of one, begins with all that
/// is known, so that it can be replayed by itself.
///
/// Nothing of it throws, and no failure reaches the state: a file that cannot be written is one warning in the log, and
/// is tried again from time to time.
class Recording final : public EventSink {
 public:
  /// Nothing is opened before `follow`. A file that is there already is continued when it is a recording, and else left
  /// alone.
  /// `log`: takes a line when writing fails and when it works again.
  explicit Recording(
      std::string path, RecordingLimits limits = {}, std::function<void(LogLine)> log = [](const LogLine&) {});
  ~Recording() override;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// From now on `state` is recorded, in a section of its own, until another one is followed. It must stay where it is
  /// until then, or until the last `record` or `flush`.
  void follow(SystemState& state, Cause cause);
  void record(const Event& event, const SystemState& state) override;
  void servers_changed(SystemState& state) override { follow(state, Cause::kServers); }
  /// Hands what was written to the system, and tries again where that failed before. To be called every second.
  void flush();

  /// Whether what happens is being written.
  [[nodiscard]] bool recording() const { return file_ >= 0; }

 private:
  bool open();
  void begin_section(Cause cause);
  void add_line();
  void write_out();
  void rotate();
  bool put_aside();
  void give_up(const std::string& why);
  void close();
  [[nodiscard]] std::string rotated(unsigned number) const;

  const std::string path_;
  const RecordingLimits limits_;
  const std::function<void(LogLine)> log_;
  SystemState* state_ = nullptr;
  int file_ = -1;
  /// Of the file, as far as it was written; and all that was added to it, with what is still to be written, without
  /// what was known when it began.
  std::uint64_t size_ = 0;
  std::uint64_t added_bytes_ = 0;
  std::uint64_t steps_ = 0;
  std::string buffer_;
  JsonWriter line_;
  std::vector<std::string> targets_;
  /// What was last written of each server, by backend.
  std::vector<std::vector<Outcome>> written_;
  bool complained_ = false;
  std::chrono::steady_clock::time_point retry_at_{};
};

}  // namespace rpcw::store
