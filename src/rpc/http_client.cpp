#include "rpc/http_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <deque>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "base/lifetime_guard.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "config/tls_files.hpp"
#include "config/url.hpp"
#include "rpc/curl_failure.hpp"
#include "rpc/curl_multis.hpp"
#include "rpc/http_target.hpp"
#include "rpc/trust.hpp"
#include "weighter/judge/judge.hpp"

namespace rpcw::rpc {
namespace {

namespace asio = boost::asio;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::steady_clock;

/// libcurl before 8.3 keeps all header lines of an answer, however many come.
constexpr std::uint64_t kMostHeaderBytes = 131'072;

struct EasyDelete {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

enum class Way : std::uint8_t { kDirect, kProxy, kEnvironment };

Way way_of(const config::Probe& settings) {
  if (settings.proxy.empty()) return Way::kDirect;
  return settings.proxy == "environment" ? Way::kEnvironment : Way::kProxy;
}

url::Url parse_proxy(const config::Probe& settings) {
  if (way_of(settings) != Way::kProxy) return {};
  auto parts = url::parse(settings.proxy);
  if (!parts) throw std::runtime_error("the proxy: " + parts.error());
  return std::move(*parts);
}

/// Another distribution's libcurl looks for the authorities where this one has none.
config::Probe with_authorities(config::Probe settings) {
  const curl_version_info_data* built = curl_version_info(CURLVERSION_NOW);
  if (settings.tls.ca_file.empty() && built->age >= CURLVERSION_SEVENTH)
    settings.tls.ca_file = config::authorities_besides({built->cainfo != nullptr ? built->cainfo : built->capath});
  return settings;
}

}  // namespace

struct HttpClient::Impl {
  struct Request {
    const HttpTarget::Impl* target = nullptr;
    const HttpRequest* what = nullptr;
    milliseconds timeout{};
    Handler handler;
    Sending sending{};
    /// What the name look-up has taken of the time-out.
    microseconds spent{0};
    /// For CURLOPT_RESOLVE; empty: libcurl needs no addresses from us.
    std::string addresses;
  };

  /// An easy handle and its buffers, used again and again.
  struct Transfer {
    Impl* impl = nullptr;
    bool busy = false;
    CurlMultis::Pool* pool = nullptr;
    Request request;
    std::string body;
    std::uint64_t header_bytes = 0;
    std::uint64_t max_bytes = 0;
    /// The limit that the answer went beyond; 0: none.
    std::uint64_t exceeded = 0;
    /// Why the system gave no socket, an errno; 0: it did.
    int no_socket = 0;
    Slist addresses;
    /// Of this request alone; nullptr: it has the target's.
    Slist headers;
    std::array<char, CURL_ERROR_SIZE> words{};
    /// The last member: libcurl refers to the ones above.
    std::unique_ptr<CURL, EasyDelete> easy;
  };

  /// A request whose name is being looked up. It is not libcurl's yet and holds no place among those under way.
  struct Nameless {
    Request request;
    asio::steady_timer timer;
  };

  Impl(asio::io_context& io, const config::Probe& cfg, std::size_t targets, Resolver::Lookup lookup)
      : settings(with_authorities(cfg)),
        way(way_of(cfg)),
        proxy(parse_proxy(cfg)),
        trust(settings.tls.ca_file),
        context(io),
        resolver(io.get_executor(), cfg.max_lookups, std::move(lookup)),
        multis(io, [this](CURL* easy, CURLcode code) { finish(easy, code); }) {
    if (auto ok = config::check_tls_files(cfg.tls); !ok) throw std::runtime_error(ok.error());
    expect_targets(targets);
    // Now, so that what this libcurl cannot do is found out at the start.
    idle.push_back(make_transfer());
  }

  ~Impl() {
    for (const auto& t : transfers)
      if (t->busy) multis.remove(*t->pool, t->easy.get());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void expect_targets(std::size_t targets) { multis.expect(targets, settings.max_in_flight); }

  void expect(const HttpTarget::Impl& target) {
    ++targets_at[target.authority()];
    if (target.parts.scheme == "https") trust.load();
  }

  bool is_alone(const HttpTarget::Impl& target) const {
    const auto at = targets_at.find(target.authority());
    return at == targets_at.end() || at->second <= 1;
  }

  // ---- requests

  void start(Request&& request) {
    const std::string* name = nullptr;
    if (way == Way::kDirect) name = &request.target->parts.host;
    if (way == Way::kProxy) name = &proxy.host;
    if (name == nullptr || is_ip_address(*name)) {
      admit(std::move(request));
    } else if (const auto known = resolver.at_hand(*name)) {
      request.addresses = resolve_entry(request, *known);
      admit(std::move(request));
    } else {
      look_up(std::move(request), *name);
    }
  }

  std::string resolve_entry(const Request& request, const std::vector<std::string>& addresses) const {
    const url::Url& at = way == Way::kProxy ? proxy : request.target->parts;
    std::string out = fmt::format("{}:{}:", at.host, at.port);
    const char* separator = "";
    for (const std::string& a : addresses) {
      out += separator + url_host(a);
      separator = ",";
    }
    return out;
  }

  /// The name that is looked up for a request, as messages may have it.
  std::string shown_name(const Request& request) const {
    return way == Way::kProxy ? url::shown_host(proxy.host) : request.target->shown_host;
  }

  void look_up(Request&& asked, const std::string& name) {
    const auto since = steady_clock::now();
    const std::uint64_t ticket = ++last_ticket;
    const milliseconds timeout = asked.timeout;
    Nameless& n = *nameless.emplace(ticket, std::make_unique<Nameless>(std::move(asked), asio::steady_timer(context)))
                       .first->second;
    n.timer.expires_after(timeout);
    n.timer.async_wait(alive.guard([this, ticket, timeout] {
      if (auto r = take(ticket))
        fail(std::move(*r), fmt::format("{} was not looked up within {}", shown_name(*r), span_text(timeout)), timeout);
    }));
    resolver.resolve(name, [this, ticket, since](const Resolver::Addresses& found) {
      auto r = take(ticket);
      if (!r) return;  // timed out meanwhile
      const auto took = duration_cast<microseconds>(steady_clock::now() - since);
      if (!found) {
        fail(std::move(*r), fmt::format("{} does not resolve: {}", shown_name(*r), found.error()), took);
        return;
      }
      r->spent = took;
      r->addresses = resolve_entry(*r, *found);
      admit(std::move(*r));
    });
  }

  std::optional<Request> take(std::uint64_t ticket) {
    const auto it = nameless.find(ticket);
    if (it == nameless.end()) return std::nullopt;
    std::optional<Request> out(std::move(it->second->request));
    nameless.erase(it);
    return out;
  }

  void admit(Request&& request) {
    const bool full = under_way >= settings.max_in_flight;
    if (full && request.sending.next)
      waiting.push_front(std::move(request));
    else if (full || (!waiting.empty() && !request.sending.next))
      waiting.push_back(std::move(request));
    else
      begin(std::move(request));
  }

  void begin(Request&& request) {
    if (idle.empty()) idle.push_back(make_transfer());
    Transfer* t = idle.back();
    idle.pop_back();
    t->busy = true;
    ++under_way;
    if (!request.target->pool) request.target->pool = next_pool++;
    t->pool = &multis.pool(*request.target->pool);
    t->request = std::move(request);
    if (t->request.sending.left) t->request.sending.left();
    perform(t);
  }

  Transfer* make_transfer() {
    auto owned = std::make_unique<Transfer>();
    Transfer* t = owned.get();
    t->impl = this;
    t->max_bytes = settings.max_response_bytes;
    t->easy.reset(curl_easy_init());
    if (!t->easy) throw std::bad_alloc();
    const auto set = [t](CURLoption option, auto value) {
      const CURLcode rc = curl_easy_setopt(t->easy.get(), option, value);
      if (rc != CURLE_OK) throw std::runtime_error(fmt::format("libcurl: {}", curl_easy_strerror(rc)));
    };
    set(CURLOPT_PRIVATE, t);
    set(CURLOPT_ERRORBUFFER, t->words.data());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_NOPROGRESS, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_HTTP09_ALLOWED, 0L);
    set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    // Addresses come with each request, from the URL or from our own look-up. libcurl's memory of them would only be
    // walked for each new connection.
    if (way != Way::kEnvironment) set(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    set(CURLOPT_USERAGENT, fmt::format("rpc-weighter/{}", version()).c_str());
    // Answers are small, and there may be hundreds of transfers.
    set(CURLOPT_BUFFERSIZE, 4096L);
    set(CURLOPT_WRITEFUNCTION, &Impl::on_body);
    set(CURLOPT_WRITEDATA, t);
    set(CURLOPT_HEADERFUNCTION, &Impl::on_header);
    set(CURLOPT_HEADERDATA, t);
    set(CURLOPT_OPENSOCKETFUNCTION, &Impl::on_open_socket);
    set(CURLOPT_OPENSOCKETDATA, t);
    set_proxy(set);
    set_tls(set);
    transfers.push_back(std::move(owned));
    return t;
  }

  template <typename Set>
  void set_proxy(const Set& set) const {
    if (way == Way::kEnvironment) return;
    set(CURLOPT_PROXY, settings.proxy.c_str());
    // Otherwise the environment's no_proxy would still count.
    set(CURLOPT_NOPROXY, "");
    // libcurl's own default is 1080.
    if (way == Way::kProxy) set(CURLOPT_PROXYPORT, static_cast<long>(proxy.port));
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  }

  template <typename Set>
  void set_tls(const Set& set) const {
    const config::TlsFiles& files = settings.tls;
    if (!files.ca_file.empty()) {
      set(CURLOPT_CAINFO, files.ca_file.c_str());
      set(CURLOPT_PROXY_CAINFO, files.ca_file.c_str());
    }
    // A folder beside the file would add authorities to those of ca_file. It would also keep libcurl from sharing the
    // parsed certificates: every connection would then read and hold all of the system's.
    const curl_version_info_data* built = curl_version_info(CURLVERSION_NOW);
    if (!files.ca_file.empty() || (built->age >= CURLVERSION_SEVENTH && built->cainfo != nullptr)) {
      set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
      set(CURLOPT_PROXY_CAPATH, static_cast<const char*>(nullptr));
    }
    if (!files.cert_file.empty()) set(CURLOPT_SSLCERT, files.cert_file.c_str());
    if (!files.key_file.empty()) set(CURLOPT_SSLKEY, files.key_file.c_str());
    // Otherwise OpenSSL would ask for a pass phrase at the terminal.
    set(CURLOPT_KEYPASSWD, "");
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto* t = static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    if (t->body.size() + bytes > t->max_bytes) {
      t->exceeded = t->max_bytes;
      return CURL_WRITEFUNC_ERROR;
    }
    if (t->body.capacity() < bytes) t->impl->lend(t->body);
    t->body.append(data, bytes);
    return bytes;
  }

  /// Hundreds of transfers are under way, and answers arrive nearly whole and one after the other: they need a buffer
  /// or two between them.
  void lend(std::string& body) {
    if (!body.empty() || buffers.empty()) return;
    body = std::move(buffers.back());
    buffers.pop_back();
  }

  void give_back(std::string& body) {
    constexpr std::size_t kKeptBuffer = 65'536;
    constexpr std::size_t kKeptBuffers = 4;
    std::string buffer = std::exchange(body, {});
    if (buffer.capacity() > kKeptBuffer || buffers.size() == kKeptBuffers) return;
    buffer.clear();
    buffers.push_back(std::move(buffer));
  }

  /// libcurl does not tell why it has no socket.
  static curl_socket_t on_open_socket(void* self, curlsocktype, curl_sockaddr* address) {
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd >= 0) return fd;
    static_cast<Transfer*>(self)->no_socket = errno;
    return CURL_SOCKET_BAD;
  }

  static std::size_t on_header(char*, std::size_t size, std::size_t count, void* self) {
    auto* t = static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    t->header_bytes += bytes;
    if (t->header_bytes > kMostHeaderBytes) {
      t->exceeded = kMostHeaderBytes;
      return CURL_WRITEFUNC_ERROR;
    }
    return bytes;
  }

  void perform(Transfer* t) {
    t->body.clear();
    t->header_bytes = 0;
    t->exceeded = 0;
    t->no_socket = 0;
    t->words[0] = '\0';
    const Request& r = t->request;
    CURL* e = t->easy.get();
    trust.give(e);
    const HttpRequest& what = *r.what;
    // libcurl copies it.
    curl_easy_setopt(e, CURLOPT_URL, what.path.empty() ? r.target->url.c_str() : r.target->url_of(what.path).c_str());
    t->headers.reset();
    if (!what.headers.empty()) t->headers = r.target->headers_with(what.headers);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers ? t->headers.get() : r.target->headers());
    t->addresses.reset();
    if (!r.addresses.empty()) append(t->addresses, r.addresses);
    curl_easy_setopt(e, CURLOPT_RESOLVE, t->addresses.get());
    const milliseconds left = std::max(r.timeout - duration_cast<milliseconds>(r.spent), milliseconds{1});
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
    const bool close = r.sending.afterwards == Afterwards::kClose && way == Way::kDirect && is_alone(*r.target);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, close ? 1L : 0L);
    if (what.method == HttpRequest::Method::kGet) {
      curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    } else {
      curl_easy_setopt(e, CURLOPT_POST, 1L);
      curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, static_cast<long>(what.body.size()));
      curl_easy_setopt(e, CURLOPT_POSTFIELDS, what.body.data());
    }
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, what.method == HttpRequest::Method::kPut ? "PUT" : nullptr);
    if (const CURLMcode rc = multis.add(*t->pool, e); rc != CURLM_OK)
      asio::post(context, alive.guard([this, t, rc] {
        deliver(t, failure({Reason::kConnectFailed, curl_multi_strerror(rc), std::nullopt}, {}));
      }));
  }

  void finish(CURL* e, CURLcode code) {
    Transfer* t = nullptr;
    curl_easy_getinfo(e, CURLINFO_PRIVATE, &t);
    curl_off_t total = 0;
    curl_easy_getinfo(e, CURLINFO_TOTAL_TIME_T, &total);
    HttpResult result;
    if (code == CURLE_OK) {
      curl_off_t pretransfer = 0;
      curl_easy_getinfo(e, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
      HttpAnswer answer;
      curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &answer.status);
      curl_off_t retry_after = 0;
      curl_easy_getinfo(e, CURLINFO_RETRY_AFTER, &retry_after);
      // libcurl 8 knows no more than this.
      constexpr curl_off_t kLongest = 21'600;
      if (retry_after > 0) answer.retry_after = std::chrono::seconds{std::min(retry_after, kLongest)};
      answer.body = t->body;
      answer.latency = microseconds{std::max<curl_off_t>(total - pretransfer, 0)};
      result = answer;
    } else {
      result = failure(explain({.easy = e,
                                .code = code,
                                .words = t->words.data(),
                                .target = *t->request.target,
                                .timeout = t->request.timeout,
                                .by_proxy = way == Way::kProxy,
                                .too_large = t->exceeded > 0,
                                .max_bytes = t->exceeded,
                                .no_socket = t->no_socket}),
                       t->request.spent + microseconds{total});
      if (code == CURLE_OPERATION_TIMEDOUT) give_up_connection(e);
    }
    multis.remove(*t->pool, e);
    deliver(t, std::move(result));
  }

  /// libcurl keeps an HTTP/2 connection after a time-out, for its other streams, and would use it for the next request
  /// too, again and again if what lies between has forgotten it. Shut down, it is found dead and closed.
  static void give_up_connection(CURL* easy) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
      ::shutdown(fd, SHUT_RDWR);
  }

  static std::unexpected<HttpFailure> failure(ProbeFailure what, microseconds after) {
    return std::unexpected(HttpFailure{std::move(what), after});
  }

  /// A look-up that failed. From the loop, never from within the caller's start().
  void fail(Request&& request, std::string detail, microseconds after) {
    asio::post(context, alive.guard([handler = std::move(request.handler),
                                     result = HttpResult(failure({Reason::kDnsFailed, std::move(detail), std::nullopt},
                                                                 after))]() mutable { handler(std::move(result)); }));
  }

  void deliver(Transfer* t, HttpResult&& result) {
    --under_way;
    t->busy = false;
    Handler handler = std::exchange(t->request.handler, nullptr);
    // The answer refers to the transfer's body, so it is idle only afterwards.
    handler(std::move(result));
    give_back(t->body);
    idle.push_back(t);
    while (!waiting.empty() && under_way < settings.max_in_flight) {
      Request next = std::move(waiting.front());
      waiting.pop_front();
      begin(std::move(next));
    }
  }

  const config::Probe settings;
  const Way way;
  const url::Url proxy;
  Trust trust;
  asio::io_context& context;
  Resolver resolver;
  CurlMultis multis;
  std::size_t next_pool = 0;
  /// How many there have been at each authority.
  std::unordered_map<std::string, std::size_t> targets_at;
  std::vector<std::unique_ptr<Transfer>> transfers;
  std::vector<Transfer*> idle;
  /// Empty, for bodies.
  std::vector<std::string> buffers;
  std::size_t under_way = 0;
  std::deque<Request> waiting;
  std::uint64_t last_ticket = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Nameless>> nameless;
  LifetimeGuard alive;
};

void HttpClient::expect_targets(std::size_t targets) {
  impl_->expect_targets(targets);
}

void HttpClient::expect(const HttpTarget& target) {
  impl_->expect(*target.impl_);
}

HttpClient::HttpClient(boost::asio::io_context& io, const config::Probe& settings, std::size_t targets,
                       Resolver::Lookup lookup)
    : impl_(std::make_unique<Impl>(io, settings, targets, std::move(lookup))) {}

HttpClient::~HttpClient() = default;

void HttpClient::start(const HttpTarget& target, const HttpRequest& request, milliseconds timeout, Handler handler,
                       Sending sending) {
  impl_->start({target.impl_.get(), &request, timeout, std::move(handler), std::move(sending), {}, {}});
}

}  // namespace rpcw::rpc
