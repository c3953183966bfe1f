#include "weighter/controller/controller.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "base/text.hpp"

namespace rpcw::control {
namespace {

/// Decisions follow news at once, but no faster than this: a burst of answers is one decision.
constexpr milliseconds kLeastBetweenDecisions{100};

/// A HAProxy behind a name that was known before and is not found within this time has left.
constexpr milliseconds kNamesTake{60'000};

/// Single pass: with one HAProxy read and all answers in, the others are waited for this long. Of several that are well
/// the report shows the first of the file.
constexpr milliseconds kForTheOthers{100};

std::vector<const haproxy::Instance*> instances_of(const std::vector<LastRead>& reads) {
  std::vector<const haproxy::Instance*> out;
  for (const LastRead& read : reads) out.push_back(&read.instance);
  return out;
}

/// nullptr: that HAProxy was not read yet.
std::vector<const haproxy::Instance*> instances_of(const std::vector<Endpoints::Known>& known) {
  std::vector<const haproxy::Instance*> out;
  for (const Endpoints::Known& haproxy : known) out.push_back(haproxy.instance);
  return out;
}

}  // namespace

Controller::Controller(const config::Config& file, const Options& options, Legacy legacy)
    : file_(file),
      known_before_(std::move(legacy.reads)),
      server_lists_(server_lists_of(file, instances_of(known_before_))),
      config_(expanded()),
      state_(config_),
      c_(config_, state_, options),
      checks_(c_, file_, std::move(legacy.checks)),
      endpoints_(c_),
      log_([this](LogLine line) { c_.act(action::Log{std::move(line)}); }),
      waiting_logged_(legacy.waiting_logged) {
  c_.known_static = std::move(legacy.static_backends);
}

std::vector<Action> Controller::on(Event event, Now now) {
  c_.now = now;
  if (!begun_) begun_ = now.mono;
  std::visit([this](auto&& e) { handle(std::forward<decltype(e)>(e)); }, std::move(event));
  settle();
  for (std::string& remark : std::exchange(remarks_, {}))
    c_.act(action::Log{{config::LogLevel::kWarn, std::move(remark), {}}});
  return std::exchange(c_.out, {});
}

// ---- events

void Controller::handle(event::Started&&) {
  endpoints_.start();
  // A running agent that continues an earlier one has checks to go on with, and follows the lists as they come.
  if (!discovers(file_) || !known_before_.empty() || (c_.runs() && !c_.options.recall)) servers_known();
}

void Controller::handle(event::Recalled&&) {
  if (phase_ == Phase::kRecalling) begin_checks();
}

void Controller::handle(event::StopRequested&&) {
  c_.stopping = true;
  c_.timers.clear();
}

void Controller::handle(event::TimeReached&&) {
  // That wake-up is used up: what is set for this very moment needs another one.
  wake_at_.reset();
  while (const auto key = c_.timers.take(c_.mono())) on_timer(*key);
}

void Controller::on_timer(Timers::Key key) {
  switch (key.kind) {
    case Timers::Kind::kProbe:
      return checks_.on_probe_timer(key.id);
    case Timers::Kind::kRetry:
      return checks_.on_retry_timer(key.id);
    case Timers::Kind::kFirstAnswer:
      return checks_.on_first_answer_timer(key.id);
    case Timers::Kind::kDecide:
      return decide();
    case Timers::Kind::kName:
      return endpoints_.look_up(key.id);
    case Timers::Kind::kEndpoint:
    case Timers::Kind::kPatience:
      return;  // `settle` looks at what is due
  }
}

void Controller::handle(event::Acting&& event) {
  if (std::exchange(c_.acting, event.acting) == event.acting || !event.acting) return;
  c_.acting_since = c_.mono();
  endpoints_.read_again();
  if (phase_ == Phase::kChecking && checks_.all_answered()) decide();
}

void Controller::handle(event::Resumed&&) {
  if (phase_ == Phase::kChecking && !c_.stopping) checks_.check_all();
}

void Controller::handle(event::HeadSent&& event) {
  checks_.on(event);
}

void Controller::handle(event::HeadAnswered&& event) {
  checks_.on(std::move(event));
}

void Controller::handle(event::CheckAnswered&& event) {
  checks_.on(std::move(event));
}

void Controller::handle(event::NameResolved&& event) {
  endpoints_.on(std::move(event));
}

void Controller::handle(event::InfoRead&& event) {
  EndpointControl* e = endpoints_.find(event.endpoint);
  if (e == nullptr) return;
  const EndpointId id = event.endpoint;
  e->on(std::move(event));
  endpoints_.close_if_left(id);
}

void Controller::handle(event::ServersRead&& event) {
  EndpointControl* e = endpoints_.find(event.endpoint);
  if (e == nullptr) return;
  const EndpointId id = event.endpoint;
  const auto suspects = e->on(std::move(event));
  if (endpoints_.close_if_left(id) || !suspects || !c_.runs() || phase_ != Phase::kChecking || c_.stopping) return;
  checks_.check_now(*suspects);
  checks_.check_exposed();
  c_.decision_wanted = true;
  read_done();
}

void Controller::handle(event::LevelRead&& event) {
  if (EndpointControl* e = endpoints_.find(event.endpoint)) e->on(std::move(event));
}

void Controller::handle(event::WeightsAnswered&& event) {
  if (EndpointControl* e = endpoints_.find(event.endpoint)) e->on(std::move(event));
}

void Controller::handle(event::ClientsReleased&& event) {
  if (EndpointControl* e = endpoints_.find(event.endpoint)) e->on(std::move(event));
}

/// After each event: what has become due or possible.
void Controller::settle() {
  if (phase_ == Phase::kFinished) return;
  if (phase_ == Phase::kListing && !c_.stopping && endpoints_.all_tried()) {
    if (!c_.runs() || !endpoints_.reachable().empty())
      servers_known();
    else
      log_waiting();
  }
  if (c_.runs()) {
    if (std::exchange(c_.read_wanted, false)) endpoints_.read_soon();
    if (std::exchange(c_.decision_wanted, false)) want_decision();
    endpoints_.step();
  } else {
    advance_pass();
  }
  if (c_.stopping && !endpoints_.busy()) {
    phase_ = Phase::kFinished;
    c_.act(action::Finish{});
  }
  const std::optional<MonoTime> next = phase_ == Phase::kFinished ? std::nullopt : c_.timers.next();
  if (next != wake_at_) c_.act(action::WakeAt{wake_at_ = next});
}

// ---- the servers

void Controller::servers_known() {
  if (phase_ != Phase::kListing) return;
  if (discovers(file_) && known_before_.empty() && !endpoints_.reachable().empty()) {
    server_lists_ = server_lists_of(file_, instances_of(last_reads()));
    config::Config config = expanded();
    state_.change_servers([&] { config_ = std::move(config); }, c_.mono());
  }
  if (c_.options.recall) {
    phase_ = Phase::kRecalling;
    c_.act(action::Recall{});
    return;
  }
  begin_checks();
}

void Controller::begin_checks() {
  phase_ = Phase::kChecking;
  c_.act(action::ExpectFiles{open_files_for(config_)});
  checks_.start();
  if (c_.runs() && !endpoints_.reachable().empty()) read_done();
}

void Controller::log_waiting() {
  if (std::exchange(waiting_logged_, true)) return;
  c_.log(config::LogLevel::kInfo, "waiting for HAProxy's list of servers, since a backend has `discover`");
}

/// Each HAProxy as it was last read. One that this controller has not read yet is as the controller before has read it,
/// also while its name is still being looked up.
std::vector<Endpoints::Known> Controller::last_reads() const {
  std::vector<Endpoints::Known> out = endpoints_.known();
  const bool young = !begun_ || c_.mono() - *begun_ < kNamesTake;
  for (const LastRead& before : known_before_) {
    const auto it = std::ranges::find(out, before.endpoint, &Endpoints::Known::endpoint);
    if (it == out.end() && young)
      out.push_back({before.endpoint, &before.instance});
    else if (it != out.end() && it->instance == nullptr)
      it->instance = &before.instance;
  }
  return out;
}

Legacy Controller::legacy() const {
  Legacy out;
  out.checks = checks_.checked();
  out.waiting_logged = waiting_logged_;
  out.static_backends = endpoints_.static_backends();
  if (!discovers(file_)) return out;
  for (const Endpoints::Known& read : last_reads())
    if (read.instance != nullptr) out.reads.push_back({std::string(read.endpoint), *read.instance});
  return out;
}

/// The configuration with the servers of `server_lists_`. Each remark is logged once.
config::Config Controller::expanded() {
  Expansion out = with_servers(file_, server_lists_);
  for (std::string& remark : out.remarks)
    if (remarks_logged_.is_new(remark)) remarks_.push_back(std::move(remark));
  return std::move(out.config);
}

void Controller::follow_lists() {
  if (!discovers(file_)) return;
  ServerLists fresh = server_lists_of(file_, instances_of(last_reads()));
  if (fresh == server_lists_) return;
  server_lists_ = std::move(fresh);
  config::Config config = expanded();
  bool changed = false;
  for (std::size_t b = 0; b < config.backends.size(); ++b)
    changed = log_changes(config_.backends[b], config.backends[b]) || changed;
  if (!changed) {
    for (std::size_t b = 0; b < config.backends.size(); ++b) config_.backends[b].absent = config.backends[b].absent;
    return;
  }
  const std::vector<std::string> before = checks_.keys();
  state_.change_servers([&] { config_ = std::move(config); }, c_.mono());
  c_.open.clear();
  c_.act(action::ExpectFiles{open_files_for(config_)});
  checks_.targets_changed(before);
  state_.update_views(endpoints_.reachable());
  if (checks_.all_answered()) decide();
}

/// Returns whether the servers differ.
bool Controller::log_changes(const config::Backend& before, const config::Backend& after) {
  const auto same = [](const config::Server& a, const config::Server& b) {
    return a.name == b.name && a.target.url == b.target.url;
  };
  if (std::ranges::equal(before.servers, after.servers, same)) return false;
  // The backend that it follows is told of.
  if (!after.follows.empty()) return true;
  const auto only_in = [&](const config::Backend& these, const config::Backend& others, std::string_view what) {
    std::set<std::pair<std::string_view, std::string_view>> known;
    for (const config::Server& s : others.servers) known.emplace(s.name, s.target.url);
    NameList names;
    for (const config::Server& s : these.servers)
      if (!known.contains({s.name, s.target.url})) names.add(s.name);
    return names.count() == 0 ? std::string{} : fmt::format(", {} {}: {}", names.count(), what, names.text());
  };
  c_.log(config::LogLevel::kInfo,
         fmt::format("{}: HAProxy has {} to probe{}{}", after.name, counted(after.servers.size(), "server"),
                     only_in(after, before, "new"), only_in(before, after, "gone")),
         {{"backend", after.name}});
  return true;
}

// ---- deciding

/// A HAProxy was read. The decision comes before the push to it: a backup or a maintenance may have begun.
void Controller::read_done() {
  follow_lists();
  if (state_.update_views(endpoints_.reachable()) && checks_.all_answered()) decide();
}

/// The first decision waits until every target had its chance: a share for the first one that answers would swing the
/// traffic at every start.
void Controller::want_decision() {
  constexpr Timers::Key kDecide{Timers::Kind::kDecide, 0};
  if (c_.stopping || !checks_.all_answered() || phase_ != Phase::kChecking || c_.timers.is_set(kDecide)) return;
  c_.timers.set(kDecide, decided_once_ ? std::max(last_decision_ + kLeastBetweenDecisions, c_.mono()) : c_.mono());
}

void Controller::decide() {
  c_.timers.cancel({Timers::Kind::kDecide, 0});
  if (c_.stopping) return;
  last_decision_ = c_.mono();
  decided_once_ = true;
  const bool was_blind = state_.blind();
  action::Decided decided;
  for (const SystemState::Change& change : state_.decide(c_.now)) {
    const config::Backend& backend = config_.backends[change.backend];
    log_.decided(backend, change.before, state_.decision(change.backend), c_.mono());
    std::ranges::move(changes_between(backend, change.before, state_.decision(change.backend)),
                      std::back_inserter(decided.changes));
  }
  c_.act(std::move(decided));
  if (state_.blind() && !was_blind)
    c_.log(config::LogLevel::kWarn,
           "no provider of any backend can be reached: look at this machine's network and name servers first",
           {{"note", std::string(to_string(Reason::kBlind))}}, "note_on");
  else if (was_blind && !state_.blind())
    c_.log(config::LogLevel::kInfo, "providers can be reached again",
           {{"note", std::string(to_string(Reason::kBlind))}}, "note_off");
  checks_.follow_outages();
  checks_.send_urgent();
  checks_.schedule_answered();
  endpoints_.wake();
}

// ---- single pass

void Controller::advance_pass() {
  endpoints_.step();
  if (phase_ == Phase::kChecking && checks_.idle() && !checks_.ask_old_heads_again()) {
    state_.scan(c_.now);
    checks_.send_urgent();
    phase_ = Phase::kComparing;
  }
  if (phase_ == Phase::kComparing && checks_.idle()) {
    phase_ = Phase::kReading;
    c_.timers.set({Timers::Kind::kPatience, 0}, c_.mono() + kForTheOthers);
  }
  if (phase_ == Phase::kReading &&
      (endpoints_.all_tried() || (!c_.timers.is_set({Timers::Kind::kPatience, 0}) && !endpoints_.reachable().empty())))
    decide_pass();
  if (phase_ != Phase::kPushing) return;
  endpoints_.step();
  // Under a static algorithm a server may be out of reach that was counted on.
  if (endpoints_.take_found_static()) {
    if (state_.update_views(endpoints_.reachable())) state_.decide(c_.now, true);
    endpoints_.step();
  }
  if (!endpoints_.all_done()) return;
  phase_ = Phase::kFinished;
  c_.act(action::Finish{});
}

void Controller::decide_pass() {
  const auto read = endpoints_.reachable();
  if (!read.empty()) before_ = *read.front();
  state_.update_views(read);
  decided_at_ = c_.now;
  state_.decide(c_.now, true);
  endpoints_.allow_push();
  phase_ = Phase::kPushing;
}

Report Controller::report(Now now) const {
  const auto read = endpoints_.reachable();
  Report out = make_report(state_, now, read.empty() ? nullptr : read.front());
  if (c_.options.dry_run) out.dry_run = DryRun::kAgent;
  out.haproxy = endpoints_.reports();
  return out;
}

AgentAnswer Controller::answer_agent(std::string_view asked) const {
  // The answer would set a weight.
  if (c_.options.dry_run) return {};
  const std::vector<const haproxy::Instance*> known = instances_of(endpoints_.known());
  // Behind a name there may be none yet.
  if (known.empty() && !config_.haproxy.endpoints.empty()) return {};
  return agent_answer(state_, known, asked);
}

bool Controller::decided() const {
  for (std::size_t b = 0; b < config_.backends.size(); ++b)
    if (!state_.has_decision(b)) return false;
  return true;
}

std::vector<std::string> Controller::hindrances() const {
  std::vector<std::string> out = endpoints_.denied();
  const auto read = endpoints_.reachable();
  for (const config::Backend& backend : config_.backends) {
    const auto has_it = [&](const haproxy::Instance* i) { return i->backend(backend.name) != nullptr; };
    if (!read.empty() && std::ranges::none_of(read, has_it))
      out.push_back(fmt::format("backend {}: {}", backend.name,
                                read.size() == 1 ? "HAProxy does not have it" : "no HAProxy has it"));
  }
  return out;
}

std::vector<std::string> Controller::unsettled() const {
  std::vector<std::string> out;
  for (std::size_t b = 0; b < config_.backends.size(); ++b)
    if (!state_.has_decision(b)) out.push_back(fmt::format("backend {}: no decision yet", config_.backends[b].name));
  std::ranges::move(endpoints_.unsettled(), std::back_inserter(out));
  return out;
}

Report Controller::report() const {
  std::optional<haproxy::Instance> shown = before_;
  const auto after = endpoints_.reachable();
  if (shown && !after.empty())
    for (haproxy::BackendRow& row : shown->backends) {
      const haproxy::BackendRow* pushed = after.front()->backend(row.name);
      row.percent = pushed != nullptr && pushed->percent;
    }
  Report out = make_report(state_, decided_at_, shown ? &*shown : nullptr);
  if (c_.options.dry_run || c_.options.mode == Mode::kScores) out.dry_run = DryRun::kPass;
  out.haproxy = endpoints_.reports();
  return out;
}

bool Controller::haproxy_trouble() const {
  return std::ranges::any_of(endpoints_.reports(), [](const EndpointReport& r) { return !r.errors.empty(); });
}

}  // namespace rpcw::control
