#include "agent/lease_keeper.hpp"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/pointer.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <ctime>
#include <expected>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "base/json_parse.hpp"
#include "base/lifetime_guard.hpp"
#include "base/read_file.hpp"
#include "base/text.hpp"
#include "observe/log.hpp"
#include "rpc/http_client.hpp"
#include "weighter/lease/election.hpp"

namespace rpcw {

namespace asio = boost::asio;

namespace {

/// As client-go has it: half of the deadline, so that a request that hangs leaves time for another.
constexpr milliseconds kRequestTimeout = lease::kRenewDeadline / 2;
/// An agent that joins waits no longer: another's lease that was never seen to change is over before.
constexpr milliseconds kJoin = lease::kLeaseDuration + 2 * kRequestTimeout;
/// So often in a row, a second or two apart, is more than one lost request.
constexpr unsigned kMostFailures = 3;
/// A token has about 1 KiB, a cluster's CA some KiB.
constexpr std::size_t kMostFile = std::size_t{1} << 20U;

/// CLOCK_BOOTTIME goes on while a machine sleeps, and so does the lease.
Now lease_clock() {
  timespec t{};
  ::clock_gettime(CLOCK_BOOTTIME, &t);
  return {std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now()),
          std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_nsec / 1000)};
}

/// The pod's name, and what tells two processes in it apart.
std::string make_identity() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host.front() = '\0';
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}", host.data(), random(), random());
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string text_at(const rapidjson::Document& doc, const char* pointer) {
  const rapidjson::Value* v = rapidjson::Pointer(pointer).Get(doc);
  return v != nullptr && v->IsString() ? v->GetString() : "";
}

std::int64_t number_at(const rapidjson::Document& doc, const char* pointer) {
  const rapidjson::Value* v = rapidjson::Pointer(pointer).Get(doc);
  return v != nullptr && v->IsInt64() ? v->GetInt64() : 0;
}

std::string to_text(const rapidjson::Document& doc) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  doc.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace

class LeaseKeeper::Impl {
 public:
  Impl(asio::io_context& io, config::Standby standby, Effects effects, lease::Role role)
      : io_(io),
        standby_(std::move(standby)),
        effects_(std::move(effects)),
        election_(standby_.text(), make_identity(), std::random_device{}(), role),
        wake_(io),
        joined_(io),
        finished_(io, std::chrono::steady_clock::time_point::max()) {}

  void give(lease::Event event) {
    for (lease::Action& a : election_.on(std::move(event), lease_clock()))
      std::visit([this](auto&& what) { carry_out(std::forward<decltype(what)>(what)); }, std::move(a));
    if (join_decided()) joined_.cancel();
  }

  [[nodiscard]] bool holds() const { return election_.holds(lease_clock().mono); }

  [[nodiscard]] StandbyReport report() const {
    return {.lease = standby_.text(),
            .acts = holds(),
            .identity = election_.identity(),
            .holder = election_.holder(),
            .error = election_.trouble()};
  }

  [[nodiscard]] const config::Standby& standby() const { return standby_; }
  void use_account(std::string folder) { standby_.account = std::move(folder); }

  asio::awaitable<bool> joined() {
    joined_.expires_after(kJoin);
    while (!join_decided() && !done_) {
      const auto [cancelled] = co_await joined_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (!cancelled) break;
    }
    co_return election_.known();
  }

  asio::awaitable<void> release(milliseconds most) {
    finished_.expires_after(most);
    give(lease::event::StopRequested{});
    while (!done_) {
      const auto [cancelled] = co_await finished_.async_wait(asio::as_tuple(asio::use_awaitable));
      if (!cancelled) break;
    }
    wake_.cancel();
  }

 private:
  [[nodiscard]] bool join_decided() const { return election_.known() || election_.failures() >= kMostFailures; }

  void carry_out(lease::action::WakeAt&& a) {
    wake_.expires_after(a.at - lease_clock().mono);
    wake_.async_wait(lifetime_.guard([this] { give(lease::event::TimeReached{effects_.lacks()}); }));
  }
  void carry_out(lease::action::Acting&& a) { effects_.acting(a.acting); }
  void carry_out(lease::action::Resumed&&) { effects_.resumed(); }
  void carry_out(lease::action::Log&& a) { log::event("lease", a.level, a.text, {}); }
  void carry_out(lease::action::Finish&&) {
    done_ = true;
    finished_.cancel();
    joined_.cancel();
  }
  void carry_out(lease::action::Read&&) { ask({.method = rpc::HttpRequest::Method::kGet, .path = path(true)}, false); }
  void carry_out(lease::action::Write&& a) {
    rapidjson::Document doc;
    // All that others have written into the Lease stays.
    if (a.create || parse_json(document_, doc).IsError() || !doc.IsObject()) doc.SetObject();
    const auto set = [&doc](const char* pointer, const auto& value) { rapidjson::Pointer(pointer).Set(doc, value); };
    set("/apiVersion", "coordination.k8s.io/v1");
    set("/kind", "Lease");
    set("/metadata/name", standby_.name.c_str());
    set("/metadata/namespace", standby_.name_space.c_str());
    if (!a.create) set("/metadata/resourceVersion", a.record.resource_version.c_str());
    set("/spec/holderIdentity", a.record.holder.c_str());
    set("/spec/leaseDurationSeconds", static_cast<std::int64_t>(a.record.duration.count()));
    set("/spec/acquireTime", a.record.acquired.c_str());
    set("/spec/renewTime", a.record.renewed.c_str());
    set("/spec/leaseTransitions", a.record.transitions);
    ask({.method = a.create ? rpc::HttpRequest::Method::kPost : rpc::HttpRequest::Method::kPut,
         .path = path(!a.create),
         .body = to_text(doc)},
        true);
  }

  [[nodiscard]] std::string path(bool named) const {
    return fmt::format("apis/coordination.k8s.io/v1/namespaces/{}/leases{}{}", standby_.name_space, named ? "/" : "",
                       named ? standby_.name : "");
  }

  /// From the loop, so that an answer is never given from within the call that asks for it.
  void fail_soon(std::string why) {
    asio::post(io_, lifetime_.guard([this, why = std::move(why)] { give(lease::event::Failed{why}); }));
  }

  void ask(rpc::HttpRequest request, bool writes) {
    // Not from within the handler of the request before: its client may be replaced.
    asio::post(io_, lifetime_.guard([this, writes, r = std::make_shared<rpc::HttpRequest>(std::move(request))] {
      if (auto ready = prepare(); !ready) {
        fail_soon(std::move(ready.error()));
        return;
      }
      request_ = std::move(*r);
      client_->start(*target_, request_, kRequestTimeout, [this, writes](const rpc::HttpResult& result) {
        if (!result)
          give(lease::event::Failed{fmt::format("the API server: {}", result.error().what.detail)});
        else
          give(answered(*result, writes));
      });
    }));
  }

  /// The token and the CA change while the pod runs, so they are read before each request.
  std::expected<void, std::string> prepare() {
    std::string base = standby_.api;
    if (base.empty()) {
      const std::string host = environment("KUBERNETES_SERVICE_HOST");
      const std::string port = environment("KUBERNETES_SERVICE_PORT");
      if (host.empty() || port.empty())
        return std::unexpected(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: is this a pod? Else set standby.api");
      base = fmt::format("https://{}:{}", url_host(host), port);
    }
    const std::string ca_file = standby_.account + "/ca.crt";
    const auto ca = read_regular_file(ca_file, kMostFile);
    const auto token = read_regular_file(standby_.account + "/token", kMostFile);
    if (!token || !*token)
      return std::unexpected(fmt::format("{}/token cannot be read{}; the pod needs automountServiceAccountToken",
                                         standby_.account, token ? "" : ": " + token.error()));
    std::string made_of = fmt::format("{}\n{}\n{}", base, **token, ca ? ca->value_or("") : "");
    if (client_ && made_of == made_of_) return {};
    config::Probe settings;
    settings.max_in_flight = 1;
    if (ca && *ca) settings.tls.ca_file = ca_file;
    config::Target server;
    server.url = base + "/";
    server.headers = {{"Authorization", "Bearer " + trimmed(**token)}, {"Content-Type", "application/json"}};
    try {
      client_.reset();
      target_.emplace(server);
      client_ = std::make_unique<rpc::HttpClient>(io_, settings, 1);
      client_->expect(*target_);
    } catch (const std::exception& error) {
      client_.reset();
      return std::unexpected(error.what());
    }
    made_of_ = std::move(made_of);
    return {};
  }

  lease::Event answered(const rpc::HttpAnswer& answer, bool writes) {
    constexpr long kOk = 200;
    constexpr long kCreated = 201;
    constexpr long kUnauthorized = 401;
    constexpr long kForbidden = 403;
    constexpr long kNotFound = 404;
    constexpr long kConflict = 409;
    rapidjson::Document doc;
    const bool object = !parse_json(answer.body, doc).IsError() && doc.IsObject();
    if (answer.status == kNotFound && !writes && object) return lease::event::Found{};
    if (answer.status == kConflict && writes) return lease::event::Conflict{};
    if (answer.status != kOk && answer.status != kCreated) {
      std::string why = fmt::format("the API server: HTTP {}", answer.status);
      if (object)
        if (const std::string said = text_at(doc, "/message"); !said.empty()) why += ": " + target_->scrub(said);
      if (answer.status == kUnauthorized) why += "; the token is read again for the next attempt";
      if (answer.status == kForbidden)
        why += "; the service account needs get and update on this Lease, and create if it is missing";
      return lease::event::Failed{std::move(why)};
    }
    lease::Record record;
    record.resource_version = object ? text_at(doc, "/metadata/resourceVersion") : "";
    if (record.resource_version.empty()) return lease::event::Failed{"the API server's answer is no Lease"};
    record.holder = text_at(doc, "/spec/holderIdentity");
    record.duration = std::chrono::seconds(number_at(doc, "/spec/leaseDurationSeconds"));
    record.acquired = text_at(doc, "/spec/acquireTime");
    record.renewed = text_at(doc, "/spec/renewTime");
    record.transitions = number_at(doc, "/spec/leaseTransitions");
    document_ = std::string(answer.body);
    if (writes) return lease::event::Written{std::move(record)};
    return lease::event::Found{std::move(record)};
  }

  asio::io_context& io_;
  config::Standby standby_;
  const Effects effects_;
  lease::Election election_;
  asio::steady_timer wake_;
  asio::steady_timer joined_;
  asio::steady_timer finished_;
  bool done_ = false;
  /// What client and target are made of: the server, the token and the CA.
  std::string made_of_;
  std::optional<rpc::HttpTarget> target_;
  rpc::HttpRequest request_;
  std::unique_ptr<rpc::HttpClient> client_;
  /// The Lease as last read or written.
  std::string document_;
  LifetimeGuard lifetime_;
};

LeaseKeeper::LeaseKeeper(asio::io_context& io, config::Standby standby, Effects effects, lease::Role role)
    : impl_(std::make_unique<Impl>(io, std::move(standby), std::move(effects), role)) {}
LeaseKeeper::~LeaseKeeper() = default;
void LeaseKeeper::start() {
  impl_->give(lease::event::TimeReached{"the agent starts"});
}
asio::awaitable<bool> LeaseKeeper::joined() {
  return impl_->joined();
}
const config::Standby& LeaseKeeper::standby() const {
  return impl_->standby();
}
void LeaseKeeper::use_account(std::string folder) {
  impl_->use_account(std::move(folder));
}
bool LeaseKeeper::holds() const {
  return impl_->holds();
}
StandbyReport LeaseKeeper::report() const {
  return impl_->report();
}
asio::awaitable<void> LeaseKeeper::release(milliseconds most) {
  return impl_->release(most);
}

}  // namespace rpcw
