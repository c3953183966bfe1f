#include "sim/provider.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <future>
#include <random>
#include <utility>

#include "sim/families.hpp"
#include "sim/gzip.hpp"

namespace sim::detail {
namespace {

constexpr std::string_view kJson = "application/json";
/// In `fault_methods`.
constexpr std::string_view kBatch = "batch";
/// More names than this are counted together: a client that makes methods up must not use up the memory.
constexpr std::size_t kMaxMethods = 200;

bool of_connection(Fault fault) {
  return fault == Fault::refuse || fault == Fault::accept_silent;
}

/// Faults that each call of a batch shows by itself.
bool of_call(Fault fault) {
  return fault == Fault::rpc_error || fault == Fault::wrong_type || fault == Fault::null_result ||
         fault == Fault::other_id;
}

Outcome outcome_of(Fault fault) {
  switch (fault) {
    case Fault::rpc_error:
      return Outcome::rpc_error;
    case Fault::wrong_type:
      return Outcome::wrong_type;
    case Fault::null_result:
      return Outcome::null_result;
    case Fault::other_id:
      return Outcome::other_id;
    default:
      return Outcome::good;
  }
}

bool hits(const Behaviour& behaviour, std::string_view method) {
  return behaviour.fault_methods.empty() ||
         std::ranges::find(behaviour.fault_methods, method) != behaviour.fault_methods.end();
}

/// `faulty` is what the calls that the fault is meant for get.
std::string body_of(const View& view, const Calls& calls, Outcome faulty) {
  if (!calls.is_json) return error_body("null", -32700, "parse error");
  if (calls.batch && calls.calls.empty()) return error_body("null", -32600, "empty batch");
  std::string body;
  for (const Calls::Call& call : calls.calls) {
    const bool hit = faulty == Outcome::limited || hits(view.behaviour, call.method) ||
                     (calls.batch && hits(view.behaviour, kBatch));
    const std::string one = answer_call(view, call, hit ? faulty : Outcome::good);
    if (!one.empty() && !body.empty()) body += ',';
    body += one;
  }
  if (calls.batch && !body.empty()) body = '[' + std::move(body) + ']';
  return body;
}

bool is_evm(const Behaviour& behaviour) {
  return behaviour.family == "evm";
}

/// Of a family's provider: what faults are meant for. A path stands for a request without a method.
std::string_view called(const Request& request, const Calls& calls) {
  if (!calls.calls.empty() && !calls.calls.front().method.empty()) return calls.calls.front().method;
  return request.target.substr(0, request.target.find('?'));
}

Told told(const View& view, const Request& request, const Calls& calls, Outcome faulty) {
  if (!is_evm(view.behaviour)) return tell(view, request, calls, faulty);
  return {200, body_of(view, calls, faulty)};
}

Answer::Ending ending_of(const Request& request) {
  return request.keep_alive ? Answer::Ending::keep : Answer::Ending::close;
}

WallTime wall_now() {
  return std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
}

}  // namespace

Random::result_type Random::operator()() {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t x = state_;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

bool ProviderServer::Setting::fault_on(Clock::time_point now) const {
  if (behaviour.fault == Fault::none) return false;
  if (behaviour.flap_ms == 0) return true;
  const auto half = std::chrono::microseconds(behaviour.flap_ms * 1000 / 2);
  return (now - since) / half % 2 == 0;
}

ProviderServer::ProviderServer(asio::io_context& io, bool own_thread, std::shared_ptr<const TlsContext> tls,
                               std::shared_ptr<const Chain> chain, std::string name, std::uint16_t port,
                               std::uint64_t seed)
    : Server(io, port, tls),
      name_(std::move(name)),
      own_thread_(own_thread),
      tls_used_(tls != nullptr),
      chain_(std::move(chain)),
      setting_(std::make_shared<Setting>()),
      flap_timer_(io),
      random_(seed) {}

std::shared_ptr<const ProviderServer::Setting> ProviderServer::setting() const {
  const std::lock_guard lock(mutex_);
  return setting_;
}

void ProviderServer::update(const std::function<void(Behaviour&)>& change) {
  {
    const std::lock_guard lock(mutex_);
    const auto next = std::make_shared<Setting>(*setting_);
    change(next->behaviour);
    next->since = Clock::now();
    if (!next->behaviour.frozen) {
      next->frozen_head.reset();
    } else if (!next->frozen_head) {
      next->frozen_head = chain_->head();
    }
    setting_ = next;
  }
  const auto self = std::static_pointer_cast<ProviderServer>(shared_from_this());
  if (io_.get_executor().running_in_this_thread()) return apply();
  if (!own_thread_) return asio::post(io_, [self] { self->apply(); });
  std::promise<void> applied;
  asio::post(io_, [&] {
    self->apply();
    applied.set_value();
  });
  applied.get_future().wait();
}

Behaviour ProviderServer::behaviour() const {
  return setting()->behaviour;
}

Stats ProviderServer::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void ProviderServer::reset_stats() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t open = stats_.open;
  stats_ = {};
  stats_.open = open;
}

void ProviderServer::stop() {
  flap_timer_.cancel();
  Server::stop();
}

void ProviderServer::opened() {
  const std::lock_guard lock(mutex_);
  ++stats_.accepted;
  ++stats_.open;
}

void ProviderServer::closed() {
  const std::lock_guard lock(mutex_);
  --stats_.open;
}

bool ProviderServer::ignores_connection() {
  const auto now = setting();
  return now->behaviour.fault == Fault::accept_silent && now->fault_on(Clock::now()) &&
         chance(now->behaviour.fault_ratio);
}

void ProviderServer::apply() {
  const auto now = setting();
  const Fault fault = now->behaviour.fault;
  const bool on = now->fault_on(Clock::now());
  if (on && fault == Fault::refuse) {
    refuse();
  } else {
    reopen();
  }
  if (!on || fault != Fault::accept_silent) serve_ignored();

  flap_timer_.cancel();
  if (!of_connection(fault) || now->behaviour.flap_ms == 0) return;
  const auto half = std::chrono::microseconds(now->behaviour.flap_ms * 1000 / 2);
  const auto turns = (Clock::now() - now->since) / half + 1;
  flap_timer_.expires_at(now->since + turns * half);
  flap_timer_.async_wait([self = std::static_pointer_cast<ProviderServer>(shared_from_this())](auto ec) {
    if (!ec) self->apply();
  });
}

bool ProviderServer::take_quota(const Behaviour& behaviour, std::size_t calls) {
  const double quota = behaviour.quota_per_s;
  if (quota <= 0) {
    tokens_quota_ = 0;
    return true;
  }
  const double burst = std::max(quota, 1.0);
  const auto now = Clock::now();
  if (quota != tokens_quota_) {
    tokens_quota_ = quota;
    tokens_ = burst;
  } else {
    tokens_ = std::min(burst, tokens_ + quota * std::chrono::duration<double>(now - tokens_at_).count());
  }
  tokens_at_ = now;
  const auto cost = static_cast<double>(calls);
  if (tokens_ < cost) return false;
  tokens_ -= cost;
  return true;
}

std::chrono::microseconds ProviderServer::take_turn(const Behaviour& behaviour) {
  const auto now = Clock::now();
  if (behaviour.capacity_per_s <= 0) {
    free_at_ = now;
    return {};
  }
  const auto begins = std::max(free_at_, now);
  free_at_ = begins + std::chrono::duration_cast<Clock::duration>(
                          std::chrono::duration<double>(std::min(1.0 / behaviour.capacity_per_s, 3600.0)));
  return std::chrono::duration_cast<std::chrono::microseconds>(begins - now);
}

bool ProviderServer::chance(double ratio) {
  if (ratio >= 1) return true;
  return static_cast<double>(random_() >> 11) * 0x1p-53 < ratio;
}

std::chrono::microseconds ProviderServer::draw_latency(const Behaviour& behaviour) {
  double ms = behaviour.latency_ms;
  if (ms > 0 && behaviour.latency_sigma > 0) {
    ms *= std::exp(behaviour.latency_sigma * std::normal_distribution<double>()(random_));
  }
  return std::chrono::microseconds(static_cast<std::int64_t>(std::min(ms, 3.6e6) * 1000));
}

Answer ProviderServer::answer(const Request& request) {
  const auto now = setting();
  const Behaviour& b = now->behaviour;
  const bool get = request.method == "GET" || request.method == "HEAD";
  const Calls calls(get ? std::string_view("{}") : request.body);

  const bool limited = !take_quota(b, std::max<std::size_t>(calls.calls.size(), 1));
  // A request that the fault isn't meant for draws nothing, or the other ones would depend on it.
  bool hit = false;
  if (!limited && now->fault_on(Clock::now())) {
    const bool meant =
        !is_evm(b) ? hits(b, called(request, calls))
        : get      ? hits(b, "GET")
                   : b.fault_methods.empty() || (calls.batch && hits(b, kBatch)) ||
                    std::ranges::any_of(calls.calls, [&](const Calls::Call& call) { return hits(b, call.method); });
    hit = of_connection(b.fault) || (meant && chance(b.fault_ratio));
  }
  {
    const std::lock_guard lock(mutex_);
    ++stats_.requests;
    ++(limited ? stats_.limited : hit ? stats_.faulty : stats_.good);
    for (const Calls::Call& call : calls.calls) {
      const std::string_view method = !is_evm(b) ? called(request, calls) : get ? "GET" : call.method;
      auto it = stats_.by_method.find(method);
      if (it == stats_.by_method.end()) {
        it = stats_.by_method.try_emplace(std::string(stats_.by_method.size() < kMaxMethods ? method : "other")).first;
      }
      ++it->second;
    }
  }

  if (b.other_pool_head) other_pool_ = !other_pool_;
  const View view{b, *chain_, b.other_pool_head && other_pool_ ? b.other_pool_head : now->frozen_head, wall_now()};
  const std::string headers =
      fmt::format("X-Provider: {}\r\nX-Head: {} {}\r\n", name_, view.head(), view.hash(view.head()));
  Answer out;
  if (limited) {
    if (b.rate_limit_style == RateLimitStyle::rpc) {
      const Told t = told(view, request, calls, Outcome::limited);
      out.bytes = http_answer(t.status, kJson, headers, t.body, request.keep_alive);
    } else {
      const std::string retry = b.retry_after_s ? fmt::format("Retry-After: {}\r\n", *b.retry_after_s) : "";
      out.bytes = http_answer(429, "text/plain", headers + retry, "too many requests\n", request.keep_alive);
    }
    out.ending = ending_of(request);
  } else if (hit) {
    out = faulty(*now, request, calls, headers);
  } else if (request.websocket) {
    // Opened, and silent from then on. Any key does: HAProxy does not compare it.
    out.bytes =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    out.ending = Answer::Ending::hang;
  } else {
    // geth too answers a plain GET with an empty 200.
    const Told t = get && is_evm(b) ? Told{} : told(view, request, calls, Outcome::good);
    out.bytes = http_answer(t.status, kJson, headers, t.body, request.keep_alive);
    out.ending = ending_of(request);
  }
  out.delay = draw_latency(b);
  if (!limited) out.delay += take_turn(b);
  return out;
}

Answer ProviderServer::faulty(const Setting& setting, const Request& request, const Calls& calls,
                              const std::string& headers) {
  const Behaviour& b = setting.behaviour;
  const View view{b, *chain_, setting.frozen_head, wall_now()};
  const bool keep = request.keep_alive;
  const Told t = told(view, request, calls, of_call(b.fault) ? outcome_of(b.fault) : Outcome::good);
  const auto valid = [&] { return t.body; };
  const auto plain = [&](unsigned status, std::string_view type, std::string_view body, std::string_view more = {}) {
    return http_answer(status, type, headers + std::string(more), body, keep);
  };

  Answer out;
  out.ending = ending_of(request);
  switch (b.fault) {
    case Fault::none:
      break;
    case Fault::hang:
    case Fault::accept_silent:
      out.ending = Answer::Ending::hang;
      break;
    case Fault::refuse:
    case Fault::reset:
      out.ending = Answer::Ending::reset;
      break;
    case Fault::http_status:
      out.bytes = plain(static_cast<unsigned>(b.http_status), "text/plain", b.http_body);
      break;
    case Fault::rpc_error:
    case Fault::wrong_type:
    case Fault::null_result:
    case Fault::other_id:
      out.bytes = plain(t.status, kJson, valid());
      break;
    case Fault::html:
      out.bytes = plain(200, "text/html",
                        "<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body>Checking your "
                        "browser</body></html>\n");
      break;
    case Fault::truncated: {
      const std::string body = valid();
      out.bytes = plain(200, kJson, std::string_view(body).substr(0, body.size() / 2));
      break;
    }
    case Fault::cut: {
      const std::string body = valid();
      out.bytes = http_head(200, kJson, headers, body.size(), false) + body.substr(0, body.size() / 2);
      out.ending = Answer::Ending::close;
      break;
    }
    case Fault::flood:
      out.bytes =
          b.flood_chunked ? http_chunked_head(headers, keep) : http_head(200, kJson, headers, b.flood_bytes, keep);
      out.flood_chunked = b.flood_chunked;
      out.flood_bytes = b.flood_bytes;
      break;
    case Fault::drip: {
      const std::string body = valid();
      out.bytes = plain(200, kJson, body);
      out.drip_from = out.bytes.size() - body.size();
      out.drip_pause = std::chrono::milliseconds(b.drip_ms);
      break;
    }
    case Fault::gzip:
      out.bytes = plain(200, kJson, gzip(valid()), "Content-Encoding: gzip\r\n");
      break;
    case Fault::gzip_bomb:
      out.bytes = plain(200, kJson, gzip_bomb(), "Content-Encoding: gzip\r\n");
      break;
    case Fault::deep:
      out.bytes = plain(200, kJson, std::string(1 << 20, '['));
      break;
    case Fault::redirect:
      out.bytes = plain(301, "text/html", "", "Location: " + b.redirect_to + "\r\n");
      break;
    case Fault::empty:
      out.bytes = plain(200, kJson, "");
      break;
    case Fault::no_http:
      out.bytes = std::string(
          "\x00\xff\x16\x03\x01"
          "garbage\x7f\r\n\r\n\x80\x81\x82",
          20);
      out.ending = Answer::Ending::close;
      break;
  }
  return out;
}

}  // namespace sim::detail
