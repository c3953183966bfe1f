#include "weighter/controller/endpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rpcw::control {
namespace {

/// How often a name is looked up. A new HAProxy has the weights of its file until it is found; Kubernetes' own name
/// servers answer from memory, and let an answer live for 5 s.
constexpr milliseconds kLookUpEvery{5000};

}  // namespace

Endpoints::Endpoints(Context& context) : c_(context) {
  for (const config::Endpoint& e : c_.config.haproxy.endpoints) places_.emplace_back().endpoint = &e;
}

void Endpoints::start() {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    Place& place = places_[i];
    if (place.endpoint->kind == config::Endpoint::Kind::kDns) {
      look_up(i);
    } else {
      place.tried = true;
      add(place, *place.endpoint);
    }
  }
}

void Endpoints::add(Place& place, const config::Endpoint& endpoint) {
  place.members.push_back(std::make_unique<EndpointControl>(c_, next_id_++, endpoint));
}

void Endpoints::step() {
  for (Place& place : places_)
    for (const auto& member : place.members) member->step();
}

void Endpoints::wake() {
  for (Place& place : places_)
    for (const auto& member : place.members) member->wake();
}

void Endpoints::read_again() {
  for (Place& place : places_)
    for (const auto& member : place.members) member->read_again();
}

void Endpoints::read_soon() {
  for (Place& place : places_)
    for (const auto& member : place.members) member->read_soon();
}

EndpointControl* Endpoints::find(EndpointId id) {
  for (Place& place : places_)
    for (const auto& member : place.members)
      if (member->id() == id) return member.get();
  return nullptr;
}

bool Endpoints::close_if_left(EndpointId id) {
  for (Place& place : places_) {
    const auto it = std::ranges::find(place.members, id, [](const auto& member) { return member->id(); });
    if (it == place.members.end() || !(*it)->has_left()) continue;
    c_.timers.cancel({Timers::Kind::kEndpoint, id});
    c_.act(action::CloseEndpoint{id});
    place.members.erase(it);
    return true;
  }
  return false;
}

// ---- names

void Endpoints::look_up(std::size_t place) {
  if (c_.stopping || std::exchange(places_[place].looking_up, true)) return;
  c_.act(action::ResolveName{place});
}

void Endpoints::on(event::NameResolved&& event) {
  Place& place = places_[event.place];
  place.looking_up = false;
  place.tried = true;
  if (c_.stopping) return;
  if (event.found)
    take(place, *event.found);
  else
    not_found(place, event.found.error());
  if (c_.runs())
    c_.timers.set({Timers::Kind::kName, static_cast<std::uint32_t>(event.place)},
                  c_.mono() + (place.members.empty() ? c_.config.haproxy.watch_interval : kLookUpEvery));
}

void Endpoints::take(Place& place, const std::vector<config::Endpoint>& found) {
  place.failure.reset();
  if (!std::exchange(place.troubles, {}).empty())
    c_.log(config::LogLevel::kInfo, fmt::format("{} resolves again", place.endpoint->text),
           {{"endpoint", place.endpoint->text}});
  const auto listed = [&](const auto& member) {
    return std::ranges::any_of(found,
                               [&](const config::Endpoint& e) { return member->endpoint().resolved == e.resolved; });
  };
  for (const auto& member : place.members) member->set_listed(listed(member));
  for (const config::Endpoint& e : found)
    if (std::ranges::none_of(place.members,
                             [&](const auto& member) { return member->endpoint().resolved == e.resolved; }))
      add(place, e);
}

void Endpoints::not_found(Place& place, const haproxy::Failure& failure) {
  place.failure = failure;
  if (!place.troubles.insert(failure.code).second) return;
  const std::size_t known = place.members.size();
  std::string message = known == 0
                            ? fmt::format("HAProxy cannot be used: {}", failure.detail)
                            : fmt::format("{}; going on with the {} known", failure.detail,
                                          known == 1 ? std::string("address") : fmt::format("{} addresses", known));
  c_.log(known == 0 ? config::LogLevel::kError : config::LogLevel::kWarn, std::move(message),
         {{"endpoint", place.endpoint->text}, {"error", std::string(haproxy::to_string(failure.code))}},
         known == 0 ? "haproxy_down" : "message");
}

// ---- what they show

bool Endpoints::busy() const {
  return std::ranges::any_of(places_, [](const Place& place) {
    return std::ranges::any_of(place.members, [](const auto& member) { return member->busy(); });
  });
}

bool Endpoints::all_tried() const {
  return std::ranges::all_of(places_, [](const Place& place) {
    return place.tried && std::ranges::all_of(place.members, [](const auto& member) { return member->was_tried(); });
  });
}

std::vector<const haproxy::Instance*> Endpoints::reachable() const {
  std::vector<const haproxy::Instance*> out;
  for (const Place& place : places_)
    for (const auto& member : place.members)
      if (member->instance() != nullptr) out.push_back(member->instance());
  return out;
}

std::vector<Endpoints::Known> Endpoints::known() const {
  std::vector<Known> out;
  for (const Place& place : places_)
    for (const auto& member : place.members) out.push_back({member->endpoint().text, member->last()});
  return out;
}

std::vector<std::string> Endpoints::troubles() const {
  std::vector<std::string> out;
  for (const Place& place : places_) {
    if (place.failure) out.push_back(place.failure->detail);
    for (const auto& member : place.members)
      if (!member->trouble().empty()) out.push_back(member->trouble());
  }
  return out;
}

std::vector<std::string> Endpoints::unsettled() const {
  std::vector<std::string> out;
  for (const Place& place : places_) {
    if (!place.tried) out.push_back(fmt::format("HAProxy {}: its name is being looked up", place.endpoint->text));
    for (const auto& member : place.members)
      if (std::string text = member->unsettled(); !text.empty()) out.push_back(std::move(text));
  }
  return out;
}

std::vector<std::string> Endpoints::denied() const {
  std::vector<std::string> out;
  for (const Place& place : places_)
    for (const auto& member : place.members)
      if (std::string text = member->denied(); !text.empty()) out.push_back(std::move(text));
  return out;
}

std::vector<StaticBackends> Endpoints::static_backends() const {
  std::vector<StaticBackends> out;
  for (const Place& place : places_)
    for (const auto& member : place.members)
      if (StaticBackends known = member->static_backends(); !known.backends.empty()) out.push_back(std::move(known));
  return out;
}

// ---- single pass

void Endpoints::allow_push() {
  for (Place& place : places_)
    for (const auto& member : place.members) member->allow_push();
}

bool Endpoints::all_done() const {
  return std::ranges::all_of(places_, [](const Place& place) {
    return !place.looking_up && std::ranges::all_of(place.members, [](const auto& member) { return member->done(); });
  });
}

bool Endpoints::take_found_static() {
  bool out = false;
  for (Place& place : places_)
    for (const auto& member : place.members) out = member->take_found_static() || out;
  return out;
}

std::vector<EndpointReport> Endpoints::reports() const {
  std::vector<EndpointReport> out;
  for (const Place& place : places_) {
    for (const auto& member : place.members) out.push_back(member->report());
    if (!place.failure) continue;
    EndpointReport& none = out.emplace_back();
    none.endpoint = place.endpoint->text;
    none.errors.push_back(place.failure->detail);
  }
  return out;
}

}  // namespace rpcw::control
