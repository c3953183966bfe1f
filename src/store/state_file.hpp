#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "store/state_codec.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw::store {

/// A state older than this is not used: after so long one more failure is no second one in a row, and a server that was
/// out deserves a fresh start. Passes half an hour apart still know each other, and those an hour apart never do.
inline constexpr milliseconds kOldestState{45 * 60 * 1000};
/// A state from further in the future is worth a word: this machine's clock was, or is, wrong.
inline constexpr milliseconds kClockSlack{60 * 1000};

/// What a state knows, kept in a file between two runs of the program. The file holds no URL and no header: which
/// provider a history belongs to is told by a fingerprint that is too short to confirm a guess at a key by.
class StateFile {
 public:
  /// Reads and writes nothing yet.
  explicit StateFile(std::string path);

  /// Gives `state`, which is new, what the file knows of the same targets: all of it less what is known to be of no
  /// use. What it knows of other backends goes back into the file, until it is older than kOldestState. No file is no
  /// error: nothing is known then. The result is a warning for a person, one sentence with path, cause and remedy;
  /// absent: all is well. Nothing in a file can do more harm than that. A file that was never a state is left alone:
  /// `write` refuses from then on.
  [[nodiscard]] std::optional<std::string> load(SystemState& state, Now now);

  /// The text for the file, at this moment.
  [[nodiscard]] std::string text(const SystemState& state, Now now) const;
  /// Replaces the file by `text`, see replace_file; touches nothing else of this object, so that another thread may do
  /// it. The error is a sentence with the path.
  [[nodiscard]] std::expected<void, std::string> write(const std::string& text) const;
  [[nodiscard]] std::expected<void, std::string> save(const SystemState& state, Now now) const {
    return write(text(state, now));
  }

 private:
  std::string path_;
  /// The file was never a state: it is not written.
  bool foreign_ = false;
  /// As last read. By pointer, since each writing copies this object.
  std::shared_ptr<const std::vector<LeftOut>> left_out_;
  /// The same for the life of a file: each new one would tell a little more about what the fingerprints are made of.
  std::string salt_;
};

/// A fingerprint of `text`, as four hexadecimal digits. A reader of the file can try out guesses at a key, and learns
/// 16 bits of it, however good the guesses are; one in 65536 other keys has the same.
std::string fingerprint(std::string_view salt, std::string_view text);

}  // namespace rpcw::store
