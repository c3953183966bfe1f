// What a pass costs at least: a loop over libcurl's multi-socket interface that posts the given bodies to the providers
// of a farm, with as many requests in flight and as large a connection cache as rpc-weighter has, and does nothing
// else. Answers are thrown away.
//
//   curl-floor PORT PROVIDERS IN_FLIGHT BODY...
//
// Each body is sent to all providers before the next one.
#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/loopback.hpp"

namespace {

int epoll = -1;
long due_ms = -1;

int on_socket(CURL*, curl_socket_t fd, int what, void* multi, void* known) {
  epoll_event event{};
  event.data.fd = fd;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
    return 0;
  }
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  epoll_ctl(epoll, known == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  if (known == nullptr) curl_multi_assign(multi, fd, &epoll);
  return 0;
}

int on_timer(CURLM*, long timeout_ms, void*) {
  due_ms = timeout_ms;
  return 0;
}

std::size_t discard(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return 2;
  const auto port = static_cast<std::uint16_t>(std::strtoul(argv[1], nullptr, 10));
  const auto providers = static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10));
  const auto in_flight = static_cast<std::size_t>(std::strtoul(argv[3], nullptr, 10));
  const std::vector<std::string> bodies(argv + 4, argv + argc);

  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);

  std::vector<std::string> urls;
  urls.reserve(providers);
  for (std::size_t i = 0; i < providers; ++i) urls.push_back(rpcw::bench::provider_url(i, port));

  curl_global_init(CURL_GLOBAL_DEFAULT);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  CURLM* multi = curl_multi_init();
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(providers + in_flight));
  curl_slist* headers = nullptr;
  for (const char* line : {"Content-Type: application/json", "Accept: application/json", "Expect:"})
    headers = curl_slist_append(headers, line);

  const std::size_t all = providers * bodies.size();
  std::size_t begun = 0;
  std::size_t ended = 0;
  std::size_t failed = 0;
  const auto begin = [&](CURL* easy) {
    const std::string& body = bodies[begun / providers];
    curl_easy_setopt(easy, CURLOPT_URL, urls[begun % providers].c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
    curl_multi_add_handle(multi, easy);
    ++begun;
  };
  while (begun < std::min(all, in_flight)) {
    CURL* easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 3000L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &discard);
    begin(easy);
  }
  std::array<epoll_event, 256> events{};
  while (ended < all) {
    const int n =
        due_ms == 0 ? 0 : epoll_wait(epoll, events.data(), static_cast<int>(events.size()), static_cast<int>(due_ms));
    int running = 0;
    if (n <= 0) curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
    for (int i = 0; i < n; ++i) {
      const epoll_event& e = events[static_cast<std::size_t>(i)];
      int what = 0;
      if ((e.events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
      if ((e.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
      if ((e.events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
      curl_multi_socket_action(multi, e.data.fd, what, &running);
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      CURL* easy = message->easy_handle;
      if (message->data.result != CURLE_OK) ++failed;
      ++ended;
      curl_multi_remove_handle(multi, easy);
      if (begun < all) begin(easy);
    }
  }
  if (failed > 0) std::fprintf(stderr, "curl-floor: %zu of %zu requests failed\n", failed, all);
  return failed > 0 ? 1 : 0;
}
