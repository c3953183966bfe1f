#include "agent/replay/replay.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "agent/replay/turns.hpp"
#include "base/version.hpp"

namespace rpcw::store {
namespace {

/// What a person still reads.
constexpr std::size_t kMostNotes = 50;

/// Lines of a stream, in bounded memory.
class Lines {
 public:
  explicit Lines(std::istream& in) : in_(in) { advance(); }

  /// The next one; absent: there is none. Longer than kMostLine: cut at one byte more.
  [[nodiscard]] const std::optional<std::string>& peek() const { return next_; }
  std::string take() {
    std::string out = std::move(*next_);
    ++number_;
    advance();
    return out;
  }
  /// Of the line that was taken last, from 1.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] bool failed() const { return in_.bad(); }

 private:
  void advance() {
    std::string line;
    for (;;) {
      const std::size_t end = buffer_.find('\n', at_);
      const std::size_t part = std::min(end, buffer_.size()) - at_;
      line.append(buffer_, at_, std::min(part, kMostLine + 1 - line.size()));
      at_ += part;
      if (end != std::string::npos) {
        ++at_;
        next_ = std::move(line);
        return;
      }
      constexpr std::size_t kBlock = 64U << 10U;
      buffer_.resize(kBlock);
      in_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
      buffer_.resize(static_cast<std::size_t>(in_.gcount()));
      at_ = 0;
      if (!buffer_.empty()) continue;
      next_ = line.empty() ? std::nullopt : std::optional(std::move(line));
      return;
    }
  }

  std::istream& in_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0;
  std::optional<std::string> next_;
};

using Index = std::optional<std::uint32_t>;

/// A section's numbers in a configuration that has been cut down to what was recorded.
class Fit {
 public:
  Fit(const Section& section, const config::Config& config, std::set<std::string>& notes) {
    config_.probe = config.probe;
    backends_.resize(section.backends.size());
    // Those that follow another one come after it.
    std::vector<const config::Backend*> ordered;
    for (const bool follows : {false, true})
      for (const config::Backend& b : config.backends)
        if (b.follows.empty() != follows) ordered.push_back(&b);
    for (const config::Backend* backend : ordered) {
      const config::Backend& b = *backend;
      const auto at = std::ranges::find(section.backends, b.name, &SectionBackend::name);
      if (at == section.backends.end())
        notes.insert(fmt::format("backend {} is only in the configuration: left out", b.name));
      else if (at->chain != b.chain.name)
        notes.insert(fmt::format("backend {} was recorded on the chain {} and is on {} now: left out", b.name,
                                 at->chain, b.chain.name));
      else if (!b.follows.empty() &&
               std::ranges::find(config_.backends, b.follows, &config::Backend::name) == config_.backends.end())
        notes.insert(fmt::format("backend {} follows {}, which is left out: left out", b.name, b.follows));
      else
        add(b, *at, backends_[static_cast<std::size_t>(at - section.backends.begin())], notes);
    }
    for (std::size_t b = 0; b < section.backends.size(); ++b) {
      const SectionBackend& was = section.backends[b];
      if (std::ranges::find(config.backends, was.name, &config::Backend::name) == config.backends.end())
        notes.insert(fmt::format("backend {} is only in the recording: left out", was.name));
      Place& place = backends_[b];
      place.servers.resize(was.servers.size());
      place.references.resize(was.references.size());
    }
    number_targets(section);
  }

  [[nodiscard]] const config::Config& config() const { return config_; }
  [[nodiscard]] Index backend(std::uint32_t recorded) const { return backends_[recorded].backend; }
  [[nodiscard]] Index server(std::uint32_t backend, std::uint32_t recorded) const {
    return backends_[backend].servers[recorded];
  }

  /// The event by the configuration's numbers; absent: it is about what was left out.
  [[nodiscard]] std::optional<Event> fit(Event&& event) const {
    struct Mover {
      const Fit& fit;
      bool to(std::size_t& target) const {
        const auto at = fit.targets_[target];
        if (at) target = *at;
        return at.has_value();
      }
      bool operator()(event::ProbeBegun& e) const { return to(e.target); }
      bool operator()(event::ProbeSent& e) const { return to(e.target); }
      bool operator()(event::NoAnswerYet& e) const { return to(e.target); }
      bool operator()(event::HeadCame& e) const { return to(e.target); }
      bool operator()(event::AnswerCame& e) const { return to(e.target); }
      bool operator()(event::UrgentChecksSent&) const { return true; }
      bool operator()(event::HeadsScanned&) const { return true; }
      bool operator()(event::DecisionsBlocked& e) const {
        const Index at = fit.backend(e.backend);
        if (at) e.backend = *at;
        return at.has_value();
      }
      bool operator()(event::ViewsChanged& e) const {
        std::vector<event::ViewsChanged::Of> out;
        for (auto& [b, view] : e.backends)
          if (const Index at = fit.backend(b)) out.push_back({*at, fit.fit(b, std::move(view))});
        e.backends = std::move(out);
        return !e.backends.empty();
      }
      bool operator()(event::TrafficCame& e) const {
        const Index at = fit.backend(e.backend);
        if (!at) return false;
        const Place& place = fit.backends_[e.backend];
        std::vector<LiveDelta> out(fit.config_.backends[*at].servers.size());
        for (std::size_t i = 0; i < std::min(e.deltas.size(), place.servers.size()); ++i)
          if (place.servers[i]) out[*place.servers[i]] = e.deltas[i];
        e.backend = *at;
        e.deltas = std::move(out);
        return true;
      }
      bool operator()(event::Decided&) const { return true; }
    };
    if (!std::visit(Mover{*this}, event)) return std::nullopt;
    return std::move(event);
  }

  /// Precondition: the backend is not left out.
  [[nodiscard]] BackendState fit(Known&& known) const {
    const Place& place = backends_[known.backend];
    const config::Backend& cfg = config_.backends[*place.backend];
    BackendState out = std::move(known.state);
    // A canary's history is its place in the file's list, and there may be fewer now.
    for (TargetHistory& t : out.history.servers)
      if (t.node.canaries.size() > cfg.canaries.size()) t.node.canaries.resize(cfg.canaries.size());
    if (place.all_in_place) return out;
    BackendHistory& was = out.history;
    BackendHistory fresh = empty_history(cfg);
    std::vector<std::optional<std::size_t>> from(cfg.servers.size());
    std::vector<ServerDecision> decided(out.decision.servers.empty() ? 0 : cfg.servers.size());
    for (std::uint32_t i = 0; i < place.servers.size(); ++i) {
      const Index to = place.servers[i];
      if (!to) continue;
      from[*to] = i;
      fresh.servers[*to] = std::move(was.servers[i]);
      if (!decided.empty()) decided[*to] = std::move(out.decision.servers[i]);
    }
    out.decision.servers = std::move(decided);
    for (std::size_t i = 0; i < place.references.size(); ++i)
      if (place.references[i]) fresh.references[*place.references[i]] = std::move(was.references[i]);
    was = with_servers(std::move(was), std::move(fresh.servers), std::move(fresh.references), from);
    out.view = fit(known.backend, std::move(out.view));
    return out;
  }

 private:
  struct Place {
    Index backend;
    /// By the section's numbers.
    std::vector<Index> servers;
    std::vector<Index> references;
    /// Nothing was left out or moved.
    bool all_in_place = false;
  };

  /// The file's; with `discover` also those that HAProxy had then, in its order.
  static std::vector<config::Server> servers_of(const config::Backend& from, const SectionBackend& was) {
    if (from.discover.empty() && from.follows.empty()) return from.servers;
    std::vector<config::Server> out;
    for (const SectionBackend::Server& s : was.servers) {
      const auto named = std::ranges::find(from.servers, s.name, &config::Server::name);
      config::Server& server = out.emplace_back();
      if (named != from.servers.end())
        server = *named;
      else
        server.name = s.name;
    }
    return out;
  }

  void add(const config::Backend& from, const SectionBackend& was, Place& place, std::set<std::string>& notes) {
    config::Backend b = from;
    b.servers.clear();
    b.references.clear();
    place.servers.resize(was.servers.size());
    place.references.resize(was.references.size());
    const auto use = [&](const config::Target& target, bool reference, const SectionBackend::Server& recorded) {
      return as_recorded(target, reference, from, config_.probe, recorded);
    };
    for (const config::Server& s : servers_of(from, was)) {
      const auto at = std::ranges::find(was.servers, s.name, &SectionBackend::Server::name);
      if (at == was.servers.end()) {
        notes.insert(fmt::format("{}/{} is only in the configuration: left out", b.name, s.name));
        continue;
      }
      place.servers[static_cast<std::size_t>(at - was.servers.begin())] = static_cast<std::uint32_t>(b.servers.size());
      b.servers.push_back(s);
      b.servers.back().target = use(s.target, false, *at);
    }
    for (std::size_t i = 0; i < was.servers.size(); ++i)
      if (!place.servers[i])
        notes.insert(fmt::format("{}/{} is only in the recording: left out", b.name, was.servers[i].name));
    // They have no names; their places in the file must do.
    for (std::size_t i = 0; i < std::min(from.references.size(), was.references.size()); ++i) {
      place.references[i] = static_cast<std::uint32_t>(i);
      b.references.push_back(use(from.references[i], true, was.references[i]));
    }
    if (from.references.size() != was.references.size())
      notes.insert(
          fmt::format("backend {} was recorded with {} references and has {} now: what only one side has is left "
                      "out",
                      b.name, was.references.size(), from.references.size()));
    if (b.servers.empty()) return;
    // Where HAProxy's list decides, there may be fewer than that at any time.
    if (b.discover.empty()) b.min_healthy = std::min(b.min_healthy, static_cast<unsigned>(b.servers.size()));
    place.all_in_place = b.servers.size() == was.servers.size() && b.references.size() == was.references.size();
    for (std::uint32_t i = 0; i < place.servers.size(); ++i)
      place.all_in_place = place.all_in_place && place.servers[i] == i;
    place.backend = static_cast<std::uint32_t>(config_.backends.size());
    config_.backends.push_back(std::move(b));
  }

  void number_targets(const Section& section) {
    std::vector<std::size_t> first;
    std::size_t next = 0;
    for (const config::Backend& b : config_.backends) {
      first.push_back(next);
      if (b.follows.empty()) next += b.servers.size() + b.references.size();
    }
    for (std::size_t b = 0; b < section.backends.size(); ++b) {
      const Place& place = backends_[b];
      const auto enter = [&](const Index& at, std::size_t before) {
        const bool probed = place.backend && at && config_.backends[*place.backend].follows.empty();
        targets_.push_back(probed ? std::optional(first[*place.backend] + before + *at) : std::nullopt);
      };
      for (const Index& at : place.servers) enter(at, 0);
      for (const Index& at : place.references)
        enter(at, place.backend ? config_.backends[*place.backend].servers.size() : 0);
    }
  }

  [[nodiscard]] BackendView fit(std::uint32_t recorded, BackendView&& view) const {
    const Place& place = backends_[recorded];
    if (place.all_in_place || view.servers.empty()) return std::move(view);
    std::vector<std::optional<ServerView>> servers(config_.backends[*place.backend].servers.size());
    for (std::size_t i = 0; i < place.servers.size(); ++i)
      if (place.servers[i]) servers[*place.servers[i]] = view.servers[i];
    view.servers = std::move(servers);
    return std::move(view);
  }

  config::Config config_;
  std::vector<Place> backends_;
  /// By the section's numbers.
  std::vector<std::optional<std::size_t>> targets_;
};

/// Each server's part of the traffic, as its backend's weights give it.
std::vector<double> shares(const std::vector<Outcome>& outcomes, const BackendView& view) {
  std::vector<double> out(outcomes.size(), 0.0);
  for (const bool backup : {false, true}) {
    unsigned sum = 0;
    const auto counts = [&](std::size_t i) {
      const bool is_backup = i < view.servers.size() && view.servers[i] && view.servers[i]->backup;
      return is_backup == backup && outcomes[i].state != rpcw::State::kDisabled;
    };
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      if (counts(i)) sum += outcomes[i].weight;
    if (sum == 0) continue;
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      if (counts(i)) out[i] = outcomes[i].weight / static_cast<double>(sum);
    break;
  }
  return out;
}

class Replayer {
 public:
  explicit Replayer(const config::Config& config) : config_(config), turns_(config) {
    for (const config::Backend& b : config.backends)
      for (const config::Server& s : b.servers)
        totals_.push_back({{b.name, s.name, {}, {}, {}, {}, 0, 0}, MonoTime{0}});
  }

  /// Absent: all is well. `line` without its end.
  std::optional<LineReader::Error> feed(std::string_view line) {
    auto got = reader_.read(line);
    if (!got) return got.error();
    if (Section* section = std::get_if<Section>(&*got)) return begin(std::move(*section));
    if (Known* known = std::get_if<Known>(&*got)) return know(std::move(*known));
    if (ControllerBegun* begun = std::get_if<ControllerBegun>(&*got)) {
      turns_.begin(std::move(*begun));
      return std::nullopt;
    }
    if (Turn* turn = std::get_if<Turn>(&*got)) {
      turns_.take(std::move(*turn));
      return std::nullopt;
    }
    step(std::move(std::get<Step>(*got)));
    return std::nullopt;
  }

  [[nodiscard]] bool begun() const { return out_.sections > 0; }
  void note(std::string text) { notes_.insert(std::move(text)); }

  std::expected<Replayed, ReplayError> finish() {
    end();
    if (!ever_fit_) {
      std::string what = "the recording and the configuration have no server in common";
      for (const std::string& n : notes_) what += "; " + n;
      return std::unexpected(ReplayError{ReplayError::Kind::kMisfit, std::move(what)});
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
    Outcome recorded;
    Outcome replayed;
    /// Since when these two differ.
    std::optional<Now> since;
    Totals* totals = nullptr;
  };

  std::optional<LineReader::Error> begin(Section&& section) {
    const bool goes_on = section.cause == Cause::kRotation && state_ && section.steps == steps_;
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

  static std::string_view why(Cause cause) {
    switch (cause) {
      case Cause::kStart:
        return "the program was started again";
      case Cause::kReload:
        return "the configuration was read again";
      case Cause::kRotation:
        return "what was recorded before is missing";
      case Cause::kResumed:
        return "for a while the file could not be written";
      case Cause::kServers:
        return "HAProxy's list had other servers";
    }
    return "";
  }

  std::optional<LineReader::Error> know(Known&& known) {
    if (!fresh_) return LineReader::Error{"event: \"known\" must come before what happened", false};
    if (!keep_) turns_.know(known);
    const Index b = fit_->backend(known.backend);
    if (!b || keep_) return std::nullopt;
    state_->restore(*b, fit_->fit(std::move(known)));
    const std::vector<ServerDecision>& decided = state_->decision(*b).servers;
    for (std::size_t i = 0; i < decided.size(); ++i)
      servers_[*b][i].recorded = servers_[*b][i].replayed = outcome_of(decided[i]);
    return std::nullopt;
  }

  void step(Step&& step) {
    fresh_ = false;
    ++steps_;
    if (fit_->config().backends.empty()) return;
    const auto* decided = std::get_if<event::Decided>(&step.event);
    const std::optional<Now> now = decided != nullptr ? std::optional(decided->now) : std::nullopt;
    if (now) pass_time(*now);
    if (const auto event = fit_->fit(std::move(step.event))) state_->apply(*event);
    if (now) compare(step.results, *now);
  }

  /// Until this decision it was as the one before has left it.
  void pass_time(Now now) {
    if (!last_) return;
    const MonoTime elapsed = std::max(now.mono - last_->mono, MonoTime{0});
    out_.covered += elapsed;
    for (std::uint32_t b = 0; b < servers_.size(); ++b) {
      std::vector<Outcome> recorded;
      std::vector<Outcome> replayed;
      for (const Server& s : servers_[b]) {
        recorded.push_back({s.recorded.weight, s.recorded.state, {}});
        replayed.push_back({s.replayed.weight, s.replayed.state, {}});
      }
      const BackendView& view = state_->backend(b).view;
      const std::vector<double> recorded_shares = shares(recorded, view);
      const std::vector<double> replayed_shares = shares(replayed, view);
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

  void compare(const std::vector<Step::Result>& results, Now now) {
    if (out_.decisions++ == 0) out_.begin = now.wall;
    out_.end = now.wall;
    last_ = now;
    bool recorded_change = false;
    bool replayed_change = false;
    for (const Step::Result& r : results) {
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
        Outcome fresh = outcome_of(decided[i]);
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
  void close_unless_same(std::uint32_t b, std::uint32_t i, const Outcome& recorded, const Outcome& replayed, Now now) {
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
  LineReader reader_;
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
  Replayed out_;
};

}  // namespace

std::expected<Replayed, ReplayError> replay(const std::vector<RecordingSource>& sources, const config::Config& config) {
  Replayer replayer(config);
  const auto damaged = [](std::string what) {
    return std::unexpected(ReplayError{ReplayError::Kind::kDamaged, std::move(what)});
  };
  for (const RecordingSource& source : sources) {
    Lines lines(source.in);
    if (!lines.peek())
      return damaged(fmt::format("{}: {}", source.name, lines.failed() ? "cannot be read" : "is empty"));
    while (lines.peek()) {
      const std::string line = lines.take();
      if (line.empty()) continue;
      const auto wrong = replayer.feed(line);
      if (!wrong) continue;
      // A crash, or a machine without power, may end a line anywhere; what was started next begins a section.
      const bool last = !lines.peek() || lines.peek()->starts_with(kSectionMark);
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

}  // namespace rpcw::store
