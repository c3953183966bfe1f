#include "rpc/curl_multis.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

namespace rpcw::rpc {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr steady_clock::time_point kNever = steady_clock::time_point::max();

/// A libcurl multi handle looks for a kept connection in lists, and walks all of them once a second for those that have
/// died: from the thousands on that costs more than the requests. So there is one for so many targets, up to a few.
constexpr std::size_t kTargetsAPool = 640;
constexpr std::size_t kMostPools = 16;

void global_init() {
  static const CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (rc != CURLE_OK) throw std::runtime_error(fmt::format("libcurl does not start: {}", curl_easy_strerror(rc)));
}

CURLM* make_multi() {
  global_init();
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) throw std::bad_alloc();
  return multi;
}

int make_epoll() {
  const int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::runtime_error(fmt::format("libcurl does not start: epoll: {}", std::strerror(errno)));
  return fd;
}

struct MultiDelete {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/// The data that epoll returns for a socket: its pool and its descriptor.
std::uint64_t ready_data(std::size_t pool, int fd) {
  return static_cast<std::uint64_t>(pool) << 32U | static_cast<std::uint32_t>(fd);
}

}  // namespace

struct CurlMultis::Pool {
  Pool(CurlMultis& owner, std::size_t number) : all(owner), index(number), timer(owner.context_), multi(make_multi()) {
    curl_multi_setopt(multi.get(), CURLMOPT_SOCKETFUNCTION, &Pool::on_socket);
    curl_multi_setopt(multi.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi.get(), CURLMOPT_TIMERFUNCTION, &Pool::on_timer);
    curl_multi_setopt(multi.get(), CURLMOPT_TIMERDATA, this);
    // No two requests on one HTTP/2 connection: two providers behind one name must not delay each other, and a
    // connection that has died can be closed without harm to another request.
    curl_multi_setopt(multi.get(), CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // libcurl's wishes, on an epoll of our own. One descriptor is all that Asio has to watch, and libcurl's level
  // triggering is epoll's own.

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
    auto* pool = static_cast<Pool*>(self);
    const int epoll = pool->all.epoll_;
    epoll_event event{};
    event.data.u64 = ready_data(pool->index, fd);
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
      return 0;
    }
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    if (known == nullptr) {
      if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
        epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
      curl_multi_assign(pool->multi.get(), fd, pool);
    } else if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
  }

  /// libcurl sets its timer anew twice in each request, first to "at once" and then to a far time-out. So "at once" is
  /// no timer, and one that is due earlier than needed stays and looks again when it fires.
  static int on_timer(CURLM*, long timeout_ms, void* self) {
    auto* pool = static_cast<Pool*>(self);
    CurlMultis& all = pool->all;
    if (all.closing_) return 0;
    if (timeout_ms < 0) {
      pool->due = kNever;
      return 0;
    }
    pool->due = steady_clock::now() + milliseconds{timeout_ms};
    if (timeout_ms > 0) {
      if (pool->due < pool->armed) pool->arm();
    } else if (!std::exchange(pool->posted, true)) {
      asio::post(all.context_, all.lifetime_.guard([pool] {
        pool->posted = false;
        pool->time_is_up();
      }));
    }
    return 0;
  }

  void arm() {
    armed = due;
    timer.expires_at(due);
    timer.async_wait(all.lifetime_.guard([this] {
      armed = kNever;
      if (due == kNever) return;
      if (steady_clock::now() < due)
        arm();
      else
        time_is_up();
    }));
  }

  void time_is_up() {
    act(CURL_SOCKET_TIMEOUT, 0);
    all.collect(*this);
  }

  void act(curl_socket_t fd, int what) {
    int running = 0;
    curl_multi_socket_action(multi.get(), fd, what, &running);
  }

  CurlMultis& all;
  const std::size_t index;
  asio::steady_timer timer;
  /// When libcurl wants to be called, and when the timer fires.
  steady_clock::time_point due = kNever;
  steady_clock::time_point armed = kNever;
  /// A call is under way through the loop.
  bool posted = false;
  std::unique_ptr<CURLM, MultiDelete> multi;
};

CurlMultis::CurlMultis(asio::io_context& io, Ended ended)
    : context_(io), ended_(std::move(ended)), epoll_(make_epoll()), ready_(io, epoll_) {
  wait_ready();
}

CurlMultis::~CurlMultis() {
  closing_ = true;
}

void CurlMultis::expect(std::size_t targets, std::size_t in_flight) {
  const std::size_t wanted = std::clamp<std::size_t>((targets + kTargetsAPool - 1) / kTargetsAPool, 1, kMostPools);
  while (pools_.size() < wanted) pools_.push_back(std::make_unique<Pool>(*this, pools_.size()));
  const std::size_t n = pools_.size();
  const std::size_t kept = (targets + in_flight + n - 1) / n;
  for (const auto& pool : pools_) curl_multi_setopt(pool->multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(kept));
}

CurlMultis::Pool& CurlMultis::pool(std::size_t target) {
  return *pools_[target % pools_.size()];
}

CURLMcode CurlMultis::add(Pool& pool, CURL* transfer) {
  return curl_multi_add_handle(pool.multi.get(), transfer);
}

void CurlMultis::remove(Pool& pool, CURL* transfer) {
  curl_multi_remove_handle(pool.multi.get(), transfer);
}

void CurlMultis::wait_ready() {
  ready_.async_wait(asio::posix::stream_descriptor::wait_read, lifetime_.guard([this] {
    std::array<epoll_event, 256> events;  // NOLINT: written by the kernel
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    for (int i = 0; i < n; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      int what = 0;
      if ((e.events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
      if ((e.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
      if ((e.events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
      Pool& pool = *pools_[e.data.u64 >> 32U];
      pool.act(static_cast<curl_socket_t>(e.data.u64 & 0xffff'ffffU), what);
      // At once, so that one buffer holds one answer after the other. What is begun then may get a descriptor that
      // another event of these tells of: libcurl looks for itself.
      collect(pool);
    }
    wait_ready();
  }));
}

void CurlMultis::collect(Pool& pool) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(pool.multi.get(), &left))
    if (message->msg == CURLMSG_DONE) ended_(message->easy_handle, message->data.result);
}

}  // namespace rpcw::rpc
