#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "store/json_codec.hpp"
#include "store/turn.hpp"
#include "weighter/system/system_state.hpp"

/// The lines of a recording: JSON objects, whose member `event` says what each is.
///
///     recording   a section begins: whose observations these are
///     known       all that was known of one backend when the section began
///     probe, sent, silent, head, answer, urgent, look, hold, see, traffic
///                 what entered the state (see weighter/system/event_sink.hpp)
///     decide      the same, with what was decided otherwise than before
///     controller, turn
///                 what the controller was told and what it wanted done (see store/turn.hpp)
///
/// Targets are named: "backend/server", "backend/#0" for references. There are no URLs.
namespace rpcw::store {

/// Longer lines are not read. A backend of some thousand servers needs a few MB for what is known of it.
inline constexpr std::size_t kMostLine = 16U << 20U;

/// Every line with which a section begins, and so every recording, begins with this.
inline constexpr std::string_view kSectionMark = R"({"event":"recording",)";

inline constexpr std::uint64_t kRecordingVersion = 8;
/// Version 7 has no turns, and is read too.
inline constexpr std::uint64_t kOldestRecording = 7;

/// Why a section begins.
enum class Cause : std::uint8_t {
  kStart,     ///< the program was started
  kReload,    ///< the configuration was read again
  kRotation,  ///< the file before was full: this goes on where that ended
  kResumed,   ///< writing was not possible for a while
  kServers,   ///< HAProxy's list has other servers
};

/// In recordings, by Cause.
inline constexpr std::array<std::string_view, 5> kCauseNames{"start", "reload", "rotation", "resumed", "servers"};

/// What became of a server in a decision.
struct Outcome {
  unsigned weight = 0;
  rpcw::State state = rpcw::State::kUnknown;
  std::vector<ReasonNote> reasons;

  /// The details of reasons hold numbers that change all the time, and do not count.
  [[nodiscard]] bool same(const Outcome& other) const;
};
Outcome outcome_of(const ServerDecision& decision);

struct SectionBackend {
  struct Server {
    std::string name;
    std::string operator_name;
    /// Between two of its probes; 0: not told.
    milliseconds interval{0};
    /// Requests a day that its probes may cost, as config::Pace has it; 0: no budget, or not told.
    double budget = 0;
  };
  std::string name;
  std::string chain;
  std::string strategy;
  std::vector<Server> servers;
  /// Without names.
  std::vector<Server> references;
};

struct Section {
  Cause cause{};
  /// Of the program that recorded it.
  std::string program;
  WallTime time{};
  /// How many steps this process had recorded before: tells whether a file goes on where another one ended.
  std::uint64_t steps = 0;
  bool blind = false;
  /// As SystemState has it.
  bool cold = false;
  /// Targets are numbered as a state of these backends numbers them.
  std::vector<SectionBackend> backends;
};

/// Of one backend of the section.
struct Known {
  std::uint32_t backend = 0;
  BackendState state;
};

/// Something that happened, by the section's numbers.
struct Step {
  struct Result {
    std::uint32_t backend = 0;
    std::uint32_t server = 0;
    Outcome outcome;
  };
  Event event;
  /// Of a decision: servers with another outcome than before.
  std::vector<Result> results;
};

using Line = std::variant<Section, Known, Step, ControllerBegun, Turn>;

// ---- writing (recording_format.cpp); each writes one object

void write_section(JsonWriter& out, Cause cause, WallTime time, std::uint64_t steps, const SystemState& state);
void write_known(JsonWriter& out, const SystemState& state, std::uint32_t backend);
/// `targets`: their names, by index.
void write_step(JsonWriter& out, const Event& event, const std::vector<Step::Result>& results, const SystemState& state,
                const std::vector<std::string>& targets);
/// The name of a backend's reference: "backend/#0".
std::string reference_name(std::string_view backend, std::size_t index);
/// "backend/server" or `reference_name`, by index.
std::vector<std::string> target_names(const SystemState& state);

// ---- reading (recording_reader.cpp)

class LineReader {
 public:
  struct Error {
    /// A sentence; begins with a verb.
    std::string what;
    /// The line is no JSON at all: perhaps it was not written to its end.
    bool cut_off = false;
  };
  /// `line` without its end. What comes out is consistent with the last section, which must come first: all indices
  /// exist there, and what is known has its sizes.
  std::expected<Line, Error> read(std::string_view line);

 private:
  Section read_section(const JsonField& in);
  Known read_known(const JsonField& in) const;
  Step read_step(std::string_view event, const JsonField& in) const;
  event::TrafficCame read_traffic(const JsonField& in) const;
  [[nodiscard]] std::size_t target(const JsonField& in) const;
  [[nodiscard]] std::uint32_t backend(const JsonField& in) const;

  TurnReader turns_;
  /// Of the last section; nothing: there was none.
  std::optional<Section> section_;
  std::map<std::string, std::size_t, std::less<>> targets_;
  std::map<std::string, std::uint32_t, std::less<>> backends_;
  /// Of a server's target: backend and index there. Of references the index is past the servers.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> places_;
};

}  // namespace rpcw::store
