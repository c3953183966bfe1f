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
#include "weighter/controller/observer.hpp"
#include "weighter/system/event_sink.hpp"

namespace rpcw::store {

struct RecordingLimits {
  /// A file that has grown by this many bytes since its first section began is put aside. Three servers probed every
  /// 5 s write about 100 MB a day, so that four files hold more than two days of them; and a file of this size, packed
  /// to a tenth, can still be sent by mail.
  std::uint64_t file_bytes = std::uint64_t{64} << 20U;
  /// FILE, FILE.1 and so on to FILE.(files - 1), the oldest. At least 1.
  unsigned files = 4;
};

/// Records the events and decisions of a state, and the events and actions of its controller, in files of bounded size.
/// Every section of a file begins with all that the state knows, so its decisions can be replayed by themselves. The
/// controller's turns can be replayed from its beginning on.
///
/// Nothing of it throws, and no failure reaches the state: a file that cannot be written is one warning in the log, and
/// is tried again from time to time.
class Recording final : public EventSink, public control::Observer {
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

  /// The next turns are those of another controller. They are held back until its state is followed, since a recording
  /// begins with that. `continues`: it takes over from the one before.
  void controller_begins(const config::Config& file, const control::Options& options, bool continues);
  void on_event(const control::Event& event, Now now) override;
  void on_actions(std::span<const control::Action> actions, Now now, std::chrono::nanoseconds took) override;

  /// Hands what was written to the system, and tries again where that failed before. To be called every second.
  void flush();

  /// Whether what happens is being written.
  [[nodiscard]] bool recording() const { return file_ >= 0; }

 private:
  bool open();
  void begin_section(Cause cause);
  void add_turn(std::string_view line);
  /// From now on the controller's turns are not recorded.
  void lose_turns();
  void add_line(std::string_view line);
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
  /// nullopt: a turn of the controller was lost, so the later ones cannot be replayed.
  std::optional<TurnWriter> turns_;
  /// Turns of a controller whose state is not followed yet are held back here.
  bool holding_ = false;
  std::string held_;
  bool complained_ = false;
  std::chrono::steady_clock::time_point retry_at_{};
};

}  // namespace rpcw::store
