#include "agent/delivery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>
#include <utility>
#include <vector>

#include "haproxy/discovery.hpp"
#include "rpc/prober.hpp"

namespace rpcw {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

/// With one HAProxy read and all probes in, the others are waited for this long: of several that are well, it is the
/// first in the file that the report tells of.
constexpr milliseconds kForTheOthers{100};

}  // namespace

struct Delivery::Connection {
  Connection(asio::io_context& io, const config::Endpoint& endpoint, std::shared_ptr<haproxy::TlsContext> tls,
             milliseconds timeout)
      : client(io.get_executor(), endpoint, std::move(tls), timeout) {
    report.endpoint = endpoint.text;
  }

  haproxy::Client client;
  EndpointReport report;
  std::optional<haproxy::Instance> instance;
};

/// A configured endpoint and who is there.
struct Delivery::Place {
  Place(const config::Endpoint& configured, haproxy::Lookup::Function lookup)
      : endpoint(configured), discovery(configured, std::move(lookup)) {}

  const config::Endpoint& endpoint;
  haproxy::Discovery discovery;
  std::deque<Connection> connections;
  /// Why there are none.
  std::optional<haproxy::Failure> failure;
};

Delivery::Delivery(asio::io_context& io, Fleet& fleet, bool push, bool dry_run, haproxy::Lookup::Function lookup)
    : io_(io),
      fleet_(fleet),
      push_(push),
      dry_run_(dry_run),
      tls_(haproxy::tls_context(fleet.config().haproxy.tls)),
      news_(io, steady_clock::time_point::max()),
      decision_(io, steady_clock::time_point::max()),
      done_(io.get_executor()) {
  for (const config::Endpoint& e : fleet.config().haproxy.endpoints) places_.emplace_back(e, lookup);
}

Delivery::~Delivery() = default;

void Delivery::start() {
  for (Place& place : places_) {
    ++unread_;
    done_.expect();
    asio::co_spawn(io_, serve(place), rethrow);
  }
}

void Delivery::told() {
  --unread_;
  news_.cancel();
}

asio::awaitable<void> Delivery::serve(Place& place) {
  const config::Haproxy& settings = fleet_.config().haproxy;
  auto found = co_await place.discovery.find(settings.timeout);
  if (found) {
    for (const config::Endpoint& e : *found) {
      Connection& connection = place.connections.emplace_back(io_, e, tls_, settings.timeout);
      ++unread_;
      done_.expect();
      asio::co_spawn(io_, serve(connection), rethrow);
    }
  } else {
    place.failure = std::move(found.error());
  }
  told();
  done_.arrive();
}

asio::awaitable<void> Delivery::serve(Connection& c) {
  auto instance = co_await c.client.read(fleet_.backend_names());
  if (instance) {
    c.report.reachable = true;
    c.report.version = instance->version;
    c.report.pid = instance->pid;
    c.instance = std::move(*instance);
  } else {
    c.report.errors.push_back(std::move(instance.error().detail));
  }
  told();
  while (!is_decided_) co_await decision_.async_wait(kToken);
  if (c.instance) {
    if (push_)
      for (std::string& what : fleet_.missing(*c.instance)) c.report.errors.push_back(std::move(what));
    if (!push_ || dry_run_) {
      c.report.changed = fleet_.plan(*c.instance).size();
      if (push_) co_await check_level(c);
    } else {
      if (co_await push_round(c)) {
        // Under a static algorithm a server may be out of reach that was counted on.
        if (fleet_.see(read())) fleet_.decide(read_clocks(), true);
        co_await push_round(c);
      }
    }
  }
  done_.arrive();
}

asio::awaitable<const haproxy::Instance*> Delivery::first() {
  const auto find = [this]() -> Connection* {
    for (Place& place : places_)
      for (Connection& c : place.connections)
        if (c.instance) return &c;
    return nullptr;
  };
  const auto patience = steady_clock::now() + kForTheOthers;
  while (unread_ > 0) {
    const bool any = find() != nullptr;
    if (any && steady_clock::now() >= patience) break;
    news_.expires_at(any ? patience : steady_clock::time_point::max());
    co_await news_.async_wait(kToken);
  }
  first_ = find();
  if (first_ == nullptr) co_return nullptr;
  before_ = first_->instance;
  co_return &*before_;
}

std::vector<const haproxy::Instance*> Delivery::read() const {
  std::vector<const haproxy::Instance*> out;
  for (const Place& place : places_)
    for (const Connection& c : place.connections)
      if (c.instance) out.push_back(&*c.instance);
  return out;
}

void Delivery::decided() {
  is_decided_ = true;
  decision_.cancel();
}

asio::awaitable<void> Delivery::finish() {
  co_await done_.wait();
  if (first_ == nullptr) co_return;
  for (haproxy::BackendRow& row : before_->backends) {
    const haproxy::BackendRow* after = first_->instance->backend(row.name);
    row.percent = after != nullptr && after->percent;
  }
}

/// What a dry run would else not find out: a socket that only shows weights.
asio::awaitable<void> Delivery::check_level(Connection& c) {
  std::vector<std::string> commands(1, "show cli level");
  const auto replies = co_await c.client.run(std::move(commands));
  if (!replies) {
    c.report.errors.push_back(replies.error().detail);
    co_return;
  }
  const std::string& level = replies->front();
  if (level != "admin")
    c.report.errors.push_back(fmt::format("the socket's level is `{}`: `set weight` needs `level admin`", level));
}

/// Sends what is held and this HAProxy does not have. Returns whether to go again, since an algorithm turned out to be
/// static.
asio::awaitable<bool> Delivery::push_round(Connection& c) {
  const config::Config& config = fleet_.config();
  const std::vector<WeightChange> changes = fleet_.plan(*c.instance);
  if (changes.empty()) co_return false;
  std::vector<haproxy::Client::Push> commands;
  commands.reserve(changes.size());
  for (const WeightChange& change : changes) {
    const config::Backend& b = config.backends[change.backend];
    commands.push_back({b.name, b.servers[change.server].name, change.percent, change.to});
  }
  const std::vector<haproxy::Outcome> outcomes = co_await c.client.push(std::move(commands));
  std::size_t unconfirmed = 0;
  std::string why;
  bool again = false;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const WeightChange& change = changes[i];
    const config::Backend& b = config.backends[change.backend];
    const std::string& server = b.servers[change.server].name;
    const haproxy::Outcome& o = outcomes[i];
    haproxy::BackendRow* backend = c.instance->backend(b.name);
    if (o.kind == haproxy::Outcome::Kind::kDone) {
      ++c.report.changed;
      haproxy::ServerRow* row = backend->server(server);
      row->uweight = change.percent && change.to > 0 ? row->iweight.value_or(1) : change.to;
    } else if (o.refusal == haproxy::Refusal::kStaticAlgorithm && !change.percent) {
      backend->percent = true;
      again = true;
    } else if (o.kind == haproxy::Outcome::Kind::kRefused) {
      c.report.errors.push_back(fmt::format("refused: set weight {}/{} {}: {}", b.name, server, change.to, o.detail));
    } else {
      ++unconfirmed;
      why = o.detail;
    }
  }
  if (unconfirmed > 0)
    c.report.errors.push_back(
        fmt::format("{} of {} weights were not confirmed: {}", unconfirmed, outcomes.size(), why));
  co_return again&& unconfirmed == 0;
}

std::vector<EndpointReport> Delivery::reports() const {
  std::vector<EndpointReport> out;
  for (const Place& place : places_) {
    for (const Connection& c : place.connections) out.push_back(c.report);
    if (!place.failure) continue;
    EndpointReport& none = out.emplace_back();
    none.endpoint = place.endpoint.text;
    none.errors.push_back(place.failure->detail);
  }
  return out;
}

bool Delivery::trouble() const {
  return std::ranges::any_of(reports(), [](const EndpointReport& r) { return !r.errors.empty(); });
}

}  // namespace rpcw
