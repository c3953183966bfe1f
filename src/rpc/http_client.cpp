#include "rpc/http_client.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "config/url.hpp"
#include "rpc/resolver.hpp"
#include "weighter/alive.hpp"
#include "weighter/judge.hpp"

namespace rpcw::rpc {
namespace {

namespace asio = boost::asio;
using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::steady_clock;

struct SlistDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Slist = std::unique_ptr<curl_slist, SlistDelete>;

void append(Slist& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(list.release());
  list.reset(longer);
}

bool is_address(const std::string& host) {
  in6_addr scratch{};
  return inet_pton(AF_INET, host.c_str(), &scratch) == 1 || inet_pton(AF_INET6, host.c_str(), &scratch) == 1;
}

void global_init() {
  static const CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (rc != CURLE_OK) throw std::runtime_error(fmt::format("libcurl does not start: {}", curl_easy_strerror(rc)));
}

/// Everything in a URL and in headers that may be a key: user info, path segments, query and header values.
std::vector<std::string> secrets_of(const config::Target& target) {
  // Shorter pieces ("v1", "rpc") are in every URL, and cutting them out would only make messages unreadable.
  constexpr std::size_t kShortestKey = 4;
  std::vector<std::string> out;
  const auto add = [&](std::string_view piece) {
    if (piece.size() >= kShortestKey) out.emplace_back(piece);
  };
  const auto split = [&](std::string_view text, std::string_view at) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find_first_of(at), text.size());
      add(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  };
  std::string_view rest = target.url;
  if (const auto scheme = rest.find("://"); scheme != std::string_view::npos) rest.remove_prefix(scheme + 3);
  const std::size_t path = std::min(rest.find_first_of("/?#"), rest.size());
  if (const auto at = rest.substr(0, path).rfind('@'); at != std::string_view::npos) {
    split(rest.substr(0, at), ":");
    add(rest.substr(0, at));
  }
  split(rest.substr(path), "/?#&=");
  for (const auto& [name, value] : target.headers) {
    add(value);
    split(value, " ,;=");
  }
  // The longest first, so that no part of one is left standing.
  std::ranges::sort(out, std::ranges::greater{}, &std::string::size);
  return out;
}

}  // namespace

struct HttpTarget::Impl {
  std::string url;
  url::Url parts;
  Slist headers;
  bool needs_lookup = false;
  std::vector<std::string> secrets;
};

HttpTarget::HttpTarget(const config::Target& target) : impl_(std::make_unique<Impl>()) {
  impl_->url = target.url;
  if (auto parts = url::parse(target.url)) impl_->parts = std::move(*parts);
  impl_->needs_lookup = !is_address(impl_->parts.host);
  append(impl_->headers, "Content-Type: application/json");
  append(impl_->headers, "Accept: application/json");
  // libcurl would wait a second for a "100 Continue" before a large body.
  append(impl_->headers, "Expect:");
  for (const auto& [name, value] : target.headers)
    append(impl_->headers, value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  impl_->secrets = secrets_of(target);
}

HttpTarget::~HttpTarget() = default;
HttpTarget::HttpTarget(HttpTarget&&) noexcept = default;
HttpTarget& HttpTarget::operator=(HttpTarget&&) noexcept = default;

std::string HttpTarget::scrub(std::string_view text) const {
  constexpr std::size_t kMostBytes = 160;
  // Cutting first could leave the head of a key at the end, so only a generous cut comes before the search.
  std::string out(text.substr(0, 64 * kMostBytes));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = ' ';
    if (byte >= 0x80) c = '?';
  }
  for (const std::string& secret : impl_->secrets)
    for (std::size_t at = out.find(secret); at != std::string::npos; at = out.find(secret, at))
      out.replace(at, secret.size(), "...");
  if (out.size() > kMostBytes) {
    out.resize(kMostBytes);
    out += "...";
  }
  return out;
}

struct HttpClient::Impl {
  struct Request {
    const HttpTarget::Impl* target = nullptr;
    std::string_view body;
    milliseconds timeout{};
    Handler handler;
    /// For CURLOPT_RESOLVE; empty: libcurl needs no addresses from us.
    std::string addresses;
  };

  /// An easy handle and its buffers, used again and again.
  struct Transfer {
    CURL* easy = nullptr;
    Request request;
    std::string body;
    Slist addresses;
    std::array<char, CURL_ERROR_SIZE> error{};
    std::uint64_t max_bytes = 0;
    bool too_large = false;

    Transfer() = default;
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    ~Transfer() {
      if (easy != nullptr) curl_easy_cleanup(easy);
    }
  };

  /// A request whose name is being looked up. It is not libcurl's yet and holds no place among those under way.
  struct Nameless {
    Request request;
    asio::steady_timer timer;
  };

  Impl(asio::io_context& io, const config::Probe& cfg, std::size_t targets)
      : settings(cfg), resolver(io.get_executor(), cfg.max_lookups), timer(io), ready(io), context(io) {
    global_init();
    multi = curl_multi_init();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (multi == nullptr || epoll < 0) throw std::runtime_error("libcurl does not start: out of memory or files");
    ready.assign(epoll);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(targets + settings.max_in_flight));
    wait_ready();
  }

  ~Impl() {
    closing = true;
    for (Transfer* t : busy) {
      curl_multi_remove_handle(multi, t->easy);
      delete t;
    }
    idle.clear();
    curl_multi_cleanup(multi);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // ---- libcurl's wishes, on an epoll of their own. One descriptor is all that Asio has to watch, and libcurl's level
  // triggering is epoll's own.

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
    auto* impl = static_cast<Impl*>(self);
    epoll_event event{};
    event.data.fd = fd;
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(impl->epoll, EPOLL_CTL_DEL, fd, &event);
      return 0;
    }
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    if (known == nullptr) {
      if (epoll_ctl(impl->epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
        epoll_ctl(impl->epoll, EPOLL_CTL_MOD, fd, &event);
      curl_multi_assign(impl->multi, fd, impl);
    } else if (epoll_ctl(impl->epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
      epoll_ctl(impl->epoll, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* self) {
    auto* impl = static_cast<Impl*>(self);
    if (impl->closing) return 0;
    if (timeout_ms < 0) {
      impl->timer.cancel();
      return 0;
    }
    impl->timer.expires_after(milliseconds{timeout_ms});
    impl->timer.async_wait(impl->alive.guard([impl] {
      int running = 0;
      curl_multi_socket_action(impl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
      impl->collect();
    }));
    return 0;
  }

  void wait_ready() {
    ready.async_wait(asio::posix::stream_descriptor::wait_read, alive.guard([this] {
      std::array<epoll_event, 256> events;  // NOLINT: written by the kernel
      const int n = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 0);
      for (int i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        int what = 0;
        if ((e.events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
        if ((e.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
        if ((e.events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
        int running = 0;
        curl_multi_socket_action(multi, e.data.fd, what, &running);
      }
      collect();
      wait_ready();
    }));
  }

  // ---- requests

  void start(Request&& request) {
    if (request.target->needs_lookup && settings.proxy.empty())
      look_up(std::move(request));
    else
      admit(std::move(request));
  }

  void look_up(Request&& asked) {
    const auto since = steady_clock::now();
    const std::uint64_t ticket = ++last_ticket;
    const std::string& host = asked.target->parts.host;
    const milliseconds timeout = asked.timeout;
    Nameless& n = *nameless.emplace(ticket, std::make_unique<Nameless>(std::move(asked), asio::steady_timer(context)))
                       .first->second;
    n.timer.expires_after(timeout);
    n.timer.async_wait(alive.guard([this, ticket, timeout] {
      if (auto r = take(ticket))
        fail(*r, Reason::kDnsFailed,
             fmt::format("{} was not looked up within {}", r->target->parts.host, span_text(timeout)), timeout);
    }));
    resolver.resolve(host, [this, ticket, since](const Resolver::Addresses& found) {
      auto r = take(ticket);
      if (!r) return;  // timed out meanwhile
      const auto took = duration_cast<microseconds>(steady_clock::now() - since);
      if (!found) {
        fail(*r, Reason::kDnsFailed, fmt::format("{} does not resolve: {}", r->target->parts.host, found.error()), took);
        return;
      }
      r->addresses = fmt::format("{}:{}:", r->target->parts.host, r->target->parts.port);
      const char* separator = "";
      for (const std::string& a : *found) {
        const bool v6 = a.find(':') != std::string::npos;
        fmt::format_to(std::back_inserter(r->addresses), "{}{}{}{}", separator, v6 ? "[" : "", a, v6 ? "]" : "");
        separator = ",";
      }
      r->timeout = std::max(r->timeout - duration_cast<milliseconds>(took), milliseconds{1});
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
    if (busy.size() >= settings.max_in_flight)
      waiting.push_back(std::move(request));
    else
      begin(std::move(request));
  }

  void begin(Request&& request) {
    std::unique_ptr<Transfer> owned;
    if (idle.empty()) {
      owned = make_transfer();
    } else {
      owned = std::move(idle.back());
      idle.pop_back();
    }
    Transfer* t = owned.release();
    busy.insert(t);
    t->request = std::move(request);
    perform(t);
  }

  std::unique_ptr<Transfer> make_transfer() {
    auto t = std::make_unique<Transfer>();
    t->easy = curl_easy_init();
    if (t->easy == nullptr) throw std::bad_alloc();
    t->max_bytes = settings.max_response_bytes;
    CURL* e = t->easy;
    const auto set = [e](CURLoption option, auto value) {
      const CURLcode rc = curl_easy_setopt(e, option, value);
      if (rc != CURLE_OK) throw std::runtime_error(fmt::format("libcurl: {}", curl_easy_strerror(rc)));
    };
    set(CURLOPT_PRIVATE, t.get());
    set(CURLOPT_ERRORBUFFER, t->error.data());
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_NOPROGRESS, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_HTTP09_ALLOWED, 0L);
    set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_USERAGENT, "rpc-weighter/" RPCW_VERSION);
    // Answers are small, and there may be hundreds of transfers.
    set(CURLOPT_BUFFERSIZE, 16384L);
    set(CURLOPT_WRITEFUNCTION, &Impl::on_body);
    set(CURLOPT_WRITEDATA, t.get());
    if (settings.proxy.empty())
      set(CURLOPT_PROXY, "");
    else if (settings.proxy != "environment")
      set(CURLOPT_PROXY, settings.proxy.c_str());
    if (!settings.tls.ca_file.empty()) set(CURLOPT_CAINFO, settings.tls.ca_file.c_str());
    if (!settings.tls.cert_file.empty()) set(CURLOPT_SSLCERT, settings.tls.cert_file.c_str());
    if (!settings.tls.key_file.empty()) set(CURLOPT_SSLKEY, settings.tls.key_file.c_str());
    return t;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto* t = static_cast<Transfer*>(self);
    if (t->body.size() + size * count > t->max_bytes) {
      t->too_large = true;
      return CURL_WRITEFUNC_ERROR;
    }
    t->body.append(data, size * count);
    return size * count;
  }

  void perform(Transfer* t) {
    t->body.clear();
    t->too_large = false;
    t->error[0] = '\0';
    const Request& r = t->request;
    CURL* e = t->easy;
    curl_easy_setopt(e, CURLOPT_URL, r.target->url.c_str());
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, r.target->headers.get());
    t->addresses.reset();
    if (!r.addresses.empty()) append(t->addresses, r.addresses);
    curl_easy_setopt(e, CURLOPT_RESOLVE, t->addresses.get());
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, static_cast<long>(r.timeout.count()));
    if (r.body.empty()) {
      curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
    } else {
      curl_easy_setopt(e, CURLOPT_POST, 1L);
      curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, static_cast<long>(r.body.size()));
      curl_easy_setopt(e, CURLOPT_POSTFIELDS, r.body.data());
    }
    if (const CURLMcode rc = curl_multi_add_handle(multi, e); rc != CURLM_OK)
      asio::post(context, alive.guard([this, t, rc] {
                   deliver(t, failure(Reason::kConnectFailed, curl_multi_strerror(rc), {}));
                 }));
  }

  void collect() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      Transfer* t = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
      finish(t, code);
    }
  }

  void finish(Transfer* t, CURLcode code) {
    curl_off_t total = 0;
    curl_off_t pretransfer = 0;
    curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &total);
    curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
    HttpResult result;
    if (code == CURLE_OK) {
      HttpAnswer answer;
      curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &answer.status);
      curl_off_t retry_after = 0;
      curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after);
      constexpr curl_off_t kLongest = 86'400;
      if (retry_after > 0) answer.retry_after = std::chrono::seconds{std::min(retry_after, kLongest)};
      answer.body = t->body;
      answer.latency = microseconds{std::max<curl_off_t>(total - pretransfer, 0)};
      result = answer;
    } else {
      result = std::unexpected(HttpFailure{explain(*t, code), microseconds{total}});
    }
    curl_multi_remove_handle(multi, t->easy);
    deliver(t, std::move(result));
  }

  static std::unexpected<HttpFailure> failure(Reason code, std::string detail, microseconds after) {
    return std::unexpected(HttpFailure{{code, std::move(detail), std::nullopt}, after});
  }

  /// From the loop, never from within the caller's start().
  void fail(Request& request, Reason code, std::string detail, microseconds after) {
    asio::post(context, alive.guard([handler = std::move(request.handler),
                                 result = HttpResult(failure(code, std::move(detail), after))]() mutable {
                 handler(std::move(result));
               }));
  }

  void deliver(Transfer* t, HttpResult&& result) {
    busy.erase(t);
    Handler handler = std::move(t->request.handler);
    handler(std::move(result));
    constexpr std::size_t kKeptBuffer = 64U * 1024U;
    if (t->body.capacity() > kKeptBuffer) std::string().swap(t->body);
    idle.emplace_back(t);
    while (!waiting.empty() && busy.size() < settings.max_in_flight) {
      Request next = std::move(waiting.front());
      waiting.pop_front();
      begin(std::move(next));
    }
  }

  ProbeFailure explain(const Transfer& t, CURLcode code) const {
    const url::Url& at = t.request.target->parts;
    const std::string where = fmt::format("{}:{}", at.host, at.port);
    const auto because = [](Reason reason, std::string detail) {
      return ProbeFailure{reason, std::move(detail), std::nullopt};
    };
    switch (code) {
      case CURLE_COULDNT_RESOLVE_HOST:
        return because(Reason::kDnsFailed, fmt::format("{} does not resolve", at.host));
      case CURLE_COULDNT_RESOLVE_PROXY:
        return because(Reason::kDnsFailed, "the proxy's name does not resolve");
      case CURLE_COULDNT_CONNECT: {
        long os_error = 0;
        curl_easy_getinfo(t.easy, CURLINFO_OS_ERRNO, &os_error);
        return because(Reason::kConnectFailed,
                       os_error != 0 ? fmt::format("{}: {}", where, std::strerror(static_cast<int>(os_error)))
                                     : fmt::format("{}: cannot connect", where));
      }
      case CURLE_OPERATION_TIMEDOUT: {
        curl_off_t connected = 0;
        curl_off_t ready_to_send = 0;
        curl_easy_getinfo(t.easy, CURLINFO_CONNECT_TIME_T, &connected);
        curl_easy_getinfo(t.easy, CURLINFO_PRETRANSFER_TIME_T, &ready_to_send);
        const char* stage = "no connection";
        if (ready_to_send > 0)
          stage = t.body.empty() ? "no answer" : "no complete answer";
        else if (connected > 0)
          stage = "no TLS session";
        return because(Reason::kTimeout, fmt::format("{} within {}", stage, span_text(t.request.timeout)));
      }
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CERTPROBLEM:
      case CURLE_SSL_CIPHER:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_ISSUER_ERROR:
      case CURLE_SSL_INVALIDCERTSTATUS:
      case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
      case CURLE_SSL_CLIENTCERT:
      case CURLE_SSL_ENGINE_NOTFOUND:
      case CURLE_SSL_ENGINE_SETFAILED:
        return because(Reason::kTlsFailed, t.error[0] != '\0' ? t.error.data() : curl_easy_strerror(code));
      case CURLE_WRITE_ERROR:
        if (t.too_large)
          return because(Reason::kTooLarge, fmt::format("more than {} bytes", settings.max_response_bytes));
        return because(Reason::kBadAnswer, "the body cannot be decompressed");
      case CURLE_BAD_CONTENT_ENCODING:
        return because(Reason::kBadAnswer, "the body cannot be decompressed");
      case CURLE_GOT_NOTHING:
        return because(Reason::kConnectFailed, fmt::format("{} closed the connection without an answer", where));
      case CURLE_RECV_ERROR:
      case CURLE_SEND_ERROR:
        return because(Reason::kConnectFailed, fmt::format("{} reset the connection", where));
      case CURLE_PARTIAL_FILE:
        return because(Reason::kBadAnswer, "the connection ended before the whole answer had come");
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_WEIRD_SERVER_REPLY:
        return because(Reason::kBadAnswer, "the answer is not HTTP");
      case CURLE_PROXY:
        return because(Reason::kConnectFailed, "the proxy refused the connection");
      default:
        return because(Reason::kBadAnswer, curl_easy_strerror(code));
    }
  }

  const config::Probe settings;
  Resolver resolver;
  asio::steady_timer timer;
  asio::posix::stream_descriptor ready;
  asio::io_context& context;
  CURLM* multi = nullptr;
  int epoll = -1;
  bool closing = false;
  std::unordered_set<Transfer*> busy;
  std::vector<std::unique_ptr<Transfer>> idle;
  std::deque<Request> waiting;
  std::uint64_t last_ticket = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Nameless>> nameless;
  Alive alive;
};

HttpClient::HttpClient(boost::asio::io_context& io, const config::Probe& settings, std::size_t targets)
    : impl_(std::make_unique<Impl>(io, settings, targets)) {}

HttpClient::~HttpClient() = default;

void HttpClient::start(const HttpTarget& target, std::string_view body, milliseconds timeout, Handler handler) {
  impl_->start({target.impl_.get(), body, timeout, std::move(handler), {}});
}

std::expected<void, std::string> ensure_open_files(std::size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return {};
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted)
    return std::unexpected(fmt::format(
        "{} open files are needed, but the hard limit is {}: raise it (ulimit -Hn, LimitNOFILE=), or lower "
        "probe.max_in_flight or the number of providers",
        wanted, limit.rlim_max));
  limit.rlim_cur = static_cast<rlim_t>(wanted);
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return std::unexpected(fmt::format("the limit on open files cannot be raised to {}: {}", wanted, std::strerror(errno)));
  return {};
}

}  // namespace rpcw::rpc
