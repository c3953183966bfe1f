#include "sim/world.hpp"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <stdexcept>
#include <utility>

namespace sim {

Provider::Provider(std::shared_ptr<detail::ProviderServer> server) : server_(std::move(server)) {}
Provider::~Provider() = default;

const std::string& Provider::name() const {
  return server_->name();
}
std::uint16_t Provider::port() const {
  return server_->port();
}

std::string Provider::url() const {
  return (server_->tls() ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port()) + '/';
}

void Provider::set(Behaviour behaviour) {
  server_->update([&](Behaviour& b) { b = std::move(behaviour); });
}

void Provider::update(const std::function<void(Behaviour&)>& change) {
  server_->update(change);
}
Behaviour Provider::behaviour() const {
  return server_->behaviour();
}
Stats Provider::stats() const {
  return server_->stats();
}
void Provider::reset_stats() {
  server_->reset_stats();
}

namespace detail {

Provider* WorldState::find(std::string_view name) {
  const std::lock_guard lock(mutex);
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

std::vector<Provider*> WorldState::all() {
  const std::lock_guard lock(mutex);
  std::vector<Provider*> list;
  list.reserve(providers.size());
  for (Provider& provider : providers) list.push_back(&provider);
  return list;
}

void WorldState::reset() {
  chain->halt(false);
  chain->set_block_time(options.chain.block_time);
  for (Provider* const provider : all()) {
    provider->set({});
    provider->reset_stats();
  }
}

}  // namespace detail

namespace {

/// Names stand in URLs and header lines as they are.
bool is_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

std::shared_ptr<detail::WorldState> make_state(Options options) {
  auto state = std::make_shared<detail::WorldState>();
  state->options = std::move(options);
  state->chain = std::make_shared<Chain>(state->options.chain);
  if (!state->options.tls_cert.empty()) {
    state->tls = std::make_shared<detail::TlsContext>(state->options.tls_cert, state->options.tls_key);
  }
  return state;
}

}  // namespace

World::World(Options options) : state_(make_state(std::move(options))) {
  state_->own_io = std::make_unique<boost::asio::io_context>(1);
  state_->io = state_->own_io.get();
  state_->thread = std::thread([io = state_->io] {
    const auto work = boost::asio::make_work_guard(*io);
    io->run();
  });
}

World::World(boost::asio::io_context& io, Options options) : state_(make_state(std::move(options))) {
  state_->io = &io;
}

World::~World() {
  const auto stop = [this] {
    for (const auto& server : state_->servers) server->stop();
    if (state_->control) state_->control->stop();
  };
  if (!state_->own_io) {
    stop();
    return;
  }
  boost::asio::post(*state_->io, [&] {
    stop();
    state_->io->stop();
  });
  state_->thread.join();
}

Chain& World::chain() {
  return *state_->chain;
}

Provider& World::add(std::string name, std::uint16_t port) {
  if (!is_name(name)) throw std::invalid_argument("not a provider's name (letters, digits, '-', '_', '.'): " + name);
  const std::lock_guard lock(state_->mutex);
  if (state_->by_name.contains(name)) throw std::invalid_argument("there is a provider " + name + " already");
  const std::uint64_t seed = state_->options.seed * 0x9e3779b97f4a7c15 + state_->servers.size();
  const auto server = std::make_shared<detail::ProviderServer>(*state_->io, state_->own_io != nullptr, state_->tls,
                                                               state_->chain, name, port, seed);
  state_->servers.push_back(server);
  Provider& provider = state_->providers.emplace_back(server);
  state_->by_name.emplace(std::move(name), &provider);
  boost::asio::post(*state_->io, [server] { server->start(); });
  return provider;
}

Provider* World::find(std::string_view name) {
  return state_->find(name);
}
std::vector<Provider*> World::providers() {
  return state_->all();
}

std::uint16_t World::serve_control(std::uint16_t port) {
  if (state_->control) throw std::logic_error("the control API is served already");
  state_->control = detail::make_control(*state_->io, port, *state_);
  boost::asio::post(*state_->io, [control = state_->control] { control->start(); });
  return state_->control->port();
}

void World::reset() {
  state_->reset();
}

}  // namespace sim
