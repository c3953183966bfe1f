#include "agent/replay/replay.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "agent/replay/fit.hpp"
#include "agent/replay/lines.hpp"
#include "agent/replay/turns.hpp"
#include "base/version.hpp"
#include "weighter/allocate/traffic_share.hpp"

namespace rpcw::replay {
namespace {

/// What a person still reads.
constexpr std::size_t kMostNotes = 50;

class Replayer {
 public:
  explicit Replayer(const config::Config& config) : config_(config), turns_(config) {
    for (const config::Backend& b : config.backends)
      for (const config::Server& s : b.servers)
        totals_.push_back({{b.name, s.name, {}, {}, {}, {}, 0, 0}, MonoTime{0}});
  }

  /// Absent: all is well. `line` without its end.
  std::optional<store::LineReader::Error> feed(std::string_view line) {
    auto got = reader_.read(line);
    if (!got) return got.error();
    if (store::Section* section = std::get_if<store::Section>(&*got)) return begin(std::move(*section));
    if (store::Known* known = std::get_if<store::Known>(&*got)) return know(std::move(*known));
    if (store::ControllerBegun* begun = std::get_if<store::ControllerBegun>(&*got)) {
      turns_.begin(std::move(*begun));
      return std::nullopt;
    }
    if (store::Turn* turn = std::get_if<store::Turn>(&*got)) {
      turns_.take(std::move(*turn));
      return std::nullopt;
    }
    step(std::move(std::get<store::Step>(*got)));
    return std::nullopt;
  }

  [[nodiscard]] bool begun() const { return out_.sections > 0; }
  void note(std::string text) { notes_.insert(std::move(text)); }

  std::expected<Result, Error> finish() {
    end();
    if (!ever_fit_) {
      std::string what = "the recording and the configuration have no server in common";
      for (const std::string& n : notes_) what += "; " + n;
      return std::unexpected(Error{Error::Kind::kMisfit, std::move(what)});
    }
    std::ranges::stable_sort(totals_, {}, [&](const Totals& t) {
      return std::ranges::find(config_.backends, t.of.backend, &config::Backend::name);
    });
    for (Totals& t : totals_) {
      if (t.covered.count() == 0 && !t.seen) continue;
      const auto time = static_cast<double>(std::max<std::int64_t>(t.covered.count(), 1));
      t.of.recorded_share /= time;
      t.of.replayed_share /= time;
      out_.servers.push_back(std::move(t.of));
    }
    std::ranges::stable_sort(out_.differences, {}, &Difference::from);
    out_.schedule = turns_.finish();
    for (const std::string& n : notes_) {
      if (out_.notes.size() == kMostNotes) {
        out_.notes.push_back(fmt::format("and {} more notes", notes_.size() - kMostNotes));
        break;
      }
      out_.notes.push_back(n);
    }
    return std::move(out_);
  }

 private:
  struct Totals {
    ServerTotals of;
    MonoTime covered{};
    bool seen = false;
  };
  struct Server {
    store::Outcome recorded;
    store::Outcome replayed;
    /// Since when these two differ.
    std::optional<Now> since;
    Totals* totals = nullptr;
  };

  std::optional<store::LineReader::Error> begin(store::Section&& section) {
    const bool goes_on = section.cause == store::Cause::kRotation && state_ && section.steps == steps_;
    turns_.section(section, goes_on);
    ++out_.sections;
    steps_ = section.steps;
    if (section.program != version())
      note(fmt::format("recorded by version {}, replayed by {}: the rules may differ", section.program, version()));
    fresh_ = true;
    keep_ = goes_on;
    if (goes_on) return std::nullopt;
    end();
    if (out_.sections > 1)
      note(fmt::format("{:%F %T} UTC: {}; from there on the replay goes on from what was known then",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(section.time)), why(section.cause)));
    fit_ = std::make_unique<Fit>(section, config_, notes_);
    state_.emplace(fit_->config());
    state_->restore(section.blind, section.cold);
    servers_.clear();
    for (const config::Backend& b : fit_->config().backends) {
      ever_fit_ = true;
      std::vector<Server>& list = servers_.emplace_back();
      for (const config::Server& s : b.servers) {
        Totals& totals = totals_of(b.name, s.name);
        totals.seen = true;
        list.push_back({{}, {}, {}, &totals});
      }
    }
    return std::nullopt;
  }

  /// HAProxy's list may have servers that the file does not name.
  Totals& totals_of(const std::string& backend, const std::string& server) {
    const auto at = std::ranges::find_if(
        totals_, [&](const Totals& t) { return t.of.backend == backend && t.of.server == server; });
    if (at != totals_.end()) return *at;
    return totals_.emplace_back(Totals{{backend, server, {}, {}, {}, {}, 0, 0}, MonoTime{0}});
  }

  static std::string_view why(store::Cause cause) {
    switch (cause) {
      case store::Cause::kStart:
        return "the program was started again";
      case store::Cause::kReload:
        return "the configuration was read again";
      case store::Cause::kRotation:
        return "what was recorded before is missing";
      case store::Cause::kResumed:
        return "for a while the file could not be written";
      case store::Cause::kServers:
        return "HAProxy's list had other servers";
    }
    return "";
  }

  std::optional<store::LineReader::Error> know(store::Known&& known) {
    if (!fresh_) return store::LineReader::Error{"event: \"known\" must come before what happened", false};
    if (!keep_) turns_.know(known);
    const Index b = fit_->backend(known.backend);
    if (!b || keep_) return std::nullopt;
    state_->restore(*b, fit_->fit(std::move(known)));
    const std::vector<ServerDecision>& decided = state_->decision(*b).servers;
    for (std::size_t i = 0; i < decided.size(); ++i)
      servers_[*b][i].recorded = servers_[*b][i].replayed = store::outcome_of(decided[i]);
    return std::nullopt;
  }

  void step(store::Step&& step) {
    fresh_ = false;
    ++steps_;
    if (fit_->config().backends.empty()) return;
    if (const auto* decided = std::get_if<event::Decided>(&step.event)) {
      const Now now = decided->now;
      pass_time(now);
      apply(std::move(step.event));
      compare(step.results, now);
    } else {
      apply(std::move(step.event));
    }
  }

  void apply(Event&& event) {
    if (const auto fitted = fit_->fit(std::move(event))) state_->apply(*fitted);
  }

  /// Until this decision it was as the one before has left it.
  void pass_time(Now now) {
    if (!last_) return;
    const MonoTime elapsed = std::max(now.mono - last_->mono, MonoTime{0});
    out_.covered += elapsed;
    for (std::uint32_t b = 0; b < servers_.size(); ++b) {
      const BackendView& view = state_->backend(b).view;
      std::vector<TrafficClaim> recorded;
      std::vector<TrafficClaim> replayed;
      for (std::size_t i = 0; i < servers_[b].size(); ++i) {
        const bool backup = i < view.servers.size() && view.servers[i] && view.servers[i]->backup;
        const auto claim = [&](const store::Outcome& o) {
          return TrafficClaim{o.weight, backup, o.state == State::kDisabled};
        };
        recorded.push_back(claim(servers_[b][i].recorded));
        replayed.push_back(claim(servers_[b][i].replayed));
      }
      const std::vector<double> recorded_shares = traffic_shares(recorded);
      const std::vector<double> replayed_shares = traffic_shares(replayed);
      for (std::size_t i = 0; i < servers_[b].size(); ++i) {
        const Server& s = servers_[b][i];
        Totals& t = *s.totals;
        const auto time = static_cast<double>(elapsed.count());
        t.covered += elapsed;
        t.of.recorded_share += recorded_shares[i] * time;
        t.of.replayed_share += replayed_shares[i] * time;
        if (s.recorded.weight == 0) t.of.recorded_out += elapsed;
        if (s.replayed.weight == 0) t.of.replayed_out += elapsed;
        if (s.recorded.weight != s.replayed.weight) t.of.weight_differed += elapsed;
        if (!s.recorded.same(s.replayed)) t.of.differed += elapsed;
      }
    }
  }

  void compare(const std::vector<store::Step::Result>& results, Now now) {
    if (out_.decisions > 0 && !last_ && now.wall < out_.end)
      note(
          fmt::format("{:%F %T} UTC: begins before what was read before it has ended: are the recordings given oldest "
                      "first, each once?",
                      fmt::gmtime(std::chrono::system_clock::to_time_t(now.wall))));
    if (out_.decisions++ == 0) out_.begin = now.wall;
    out_.end = now.wall;
    last_ = now;
    bool recorded_change = false;
    bool replayed_change = false;
    for (const store::Step::Result& r : results) {
      const Index b = fit_->backend(r.backend);
      const Index i = b ? fit_->server(r.backend, r.server) : std::nullopt;
      if (!i) continue;
      Server& s = servers_[*b][*i];
      close_unless_same(*b, *i, r.outcome, s.replayed, now);
      recorded_change = recorded_change || s.recorded.weight != r.outcome.weight;
      s.recorded = r.outcome;
    }
    bool other_weights = false;
    bool other = false;
    for (std::uint32_t b = 0; b < servers_.size(); ++b) {
      const std::vector<ServerDecision>& decided = state_->decision(b).servers;
      for (std::uint32_t i = 0; i < decided.size(); ++i) {
        Server& s = servers_[b][i];
        store::Outcome fresh = store::outcome_of(decided[i]);
        close_unless_same(b, i, s.recorded, fresh, now);
        replayed_change = replayed_change || s.replayed.weight != fresh.weight;
        if (!s.replayed.same(fresh)) s.replayed = std::move(fresh);
        if (s.recorded.same(s.replayed)) continue;
        other = true;
        other_weights = other_weights || s.recorded.weight != s.replayed.weight;
        if (!s.since) open(b, i, now);
      }
    }
    out_.other += other ? 1 : 0;
    out_.other_weights += other_weights ? 1 : 0;
    out_.recorded_changes += recorded_change ? 1 : 0;
    out_.replayed_changes += replayed_change ? 1 : 0;
  }

  void open(std::uint32_t b, std::uint32_t i, Now now) { servers_[b][i].since = now; }

  /// Ends the difference of a server unless it goes on with these outcomes.
  void close_unless_same(std::uint32_t b, std::uint32_t i, const store::Outcome& recorded,
                         const store::Outcome& replayed, Now now) {
    Server& s = servers_[b][i];
    if (!s.since || (s.recorded.same(recorded) && s.replayed.same(replayed))) return;
    close(b, i, now);
  }

  void close(std::uint32_t b, std::uint32_t i, Now now) {
    Server& s = servers_[b][i];
    if (!s.since) return;
    const Now since = *std::exchange(s.since, std::nullopt);
    const MonoTime lasted = std::max(now.mono - since.mono, MonoTime{0});
    if (out_.differences.size() >= kMostDifferences) {
      ++out_.more_differences;
      return;
    }
    const config::Backend& cfg = fit_->config().backends[b];
    out_.differences.push_back({cfg.name, cfg.servers[i].name, since.wall, lasted, s.recorded, s.replayed});
  }

  /// Of what was replayed until now.
  void end() {
    if (last_)
      for (std::uint32_t b = 0; b < servers_.size(); ++b)
        for (std::uint32_t i = 0; i < servers_[b].size(); ++i) close(b, i, *last_);
    last_.reset();
    state_.reset();
    fit_.reset();
  }

  const config::Config& config_;
  store::LineReader reader_;
  /// Stay where they are.
  std::deque<Totals> totals_;
  std::set<std::string> notes_;
  std::unique_ptr<Fit> fit_;
  std::optional<SystemState> state_;
  std::vector<std::vector<Server>> servers_;
  /// The last decision of the section.
  std::optional<Now> last_;
  /// As the recording process has counted them.
  std::uint64_t steps_ = 0;
  /// Nothing has happened in the section yet; and it goes on from the one before.
  bool fresh_ = false;
  bool keep_ = false;
  bool ever_fit_ = false;
  TurnReplay turns_;
  Result out_;
};

}  // namespace

std::expected<Result, Error> run(const std::vector<Source>& sources, const config::Config& config) {
  Replayer replayer(config);
  const auto damaged = [](std::string what) { return std::unexpected(Error{Error::Kind::kDamaged, std::move(what)}); };
  for (const Source& source : sources) {
    Lines lines(source.in);
    if (!lines.peek())
      return damaged(fmt::format("{}: {}", source.name, lines.failed() ? "cannot be read" : "is empty"));
    while (lines.peek()) {
      const std::string line = lines.take();
      if (line.empty()) continue;
      const auto wrong = replayer.feed(line);
      if (!wrong) continue;
      // A crash, or a machine without power, may end a line anywhere; what was started next begins a section.
      const bool last = !lines.peek() || lines.peek()->starts_with(store::kSectionMark);
      if (!wrong->cut_off || !last || !replayer.begun())
        return damaged(fmt::format("{}:{}: {}", source.name, lines.number(), wrong->what));
      replayer.note(
          fmt::format("{}:{}: the line was not written to its end, and is left out", source.name, lines.number()));
    }
    if (lines.failed())
      return damaged(fmt::format("{}:{}: cannot be read any further", source.name, lines.number() + 1));
  }
  return replayer.finish();
}

}  // namespace rpcw::replay
