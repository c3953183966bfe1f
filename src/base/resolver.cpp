#include "base/resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>

namespace rpcw {
namespace {

using Clock = std::chrono::steady_clock;

struct Name {
  std::optional<Resolver::Addresses> answer;
  Clock::time_point renew_at{};
  bool under_way = false;
  std::vector<Resolver::Handler> waiting;
};

}  // namespace

struct Resolver::State : std::enable_shared_from_this<Resolver::State> {
  State(boost::asio::any_io_executor ex, unsigned max, Lookup fn, std::chrono::milliseconds keep)
      : executor(std::move(ex)), max_lookups(std::max(max, 1U)), lookup(std::move(fn)), lifetime(keep) {}

  /// Nothing may leave a thread of its own.
  Addresses look_up(const std::string& host) const {
    try {
      return lookup(host);
    } catch (const std::exception& e) {
      return std::unexpected(std::string(e.what()));
    }
  }

  void check(const std::string& host, Name& name) {
    name.under_way = true;
    if (running < max_lookups)
      start(host);
    else
      queue.push_back(host);
  }

  void start(const std::string& host) {
    ++running;
    try {
      std::thread([self = shared_from_this(), host] {
        Addresses found = self->look_up(host);
        const std::lock_guard lock(self->mutex);
        if (!self->open) return;
        boost::asio::post(self->executor,
                          [self, host, found = std::move(found)]() mutable { self->finish(host, std::move(found)); });
      }).detach();
    } catch (const std::system_error& e) {
      boost::asio::post(executor, [self = shared_from_this(), host, what = std::string(e.what())] {
        self->finish(host, std::unexpected("no thread for a name look-up: " + what));
      });
    }
  }

  void finish(const std::string& host, Addresses&& found) {
    if (!open) return;
    --running;
    while (running < max_lookups && !queue.empty()) {
      start(queue.front());
      queue.pop_front();
    }
    Name& name = names[host];
    name.under_way = false;
    // A failure never replaces an answer, and is itself asked again by the next probe: probes are rare enough.
    if (found || !name.answer || !*name.answer) name.answer = std::move(found);
    name.renew_at = Clock::now() + lifetime;
    std::vector<Handler> handlers = std::exchange(name.waiting, {});
    // A copy: a handler may ask again, and so move what `name` refers to.
    const Addresses answer = *name.answer;
    for (Handler& handler : handlers) handler(answer);
  }

  boost::asio::any_io_executor executor;
  const unsigned max_lookups;
  const Lookup lookup;
  const std::chrono::milliseconds lifetime;

  // Only the loop's thread touches these.
  unsigned running = 0;
  std::deque<std::string> queue;
  std::unordered_map<std::string, Name> names;

  // Guards `open`, which the loop's thread alone sets, and with it the executor's life, against threads that outlive
  // the resolver.
  std::mutex mutex;
  bool open = true;
};

Resolver::Resolver(boost::asio::any_io_executor executor, unsigned max_lookups, Lookup lookup,
                   std::chrono::milliseconds lifetime)
    : state_(std::make_shared<State>(std::move(executor), max_lookups, std::move(lookup), lifetime)) {}

Resolver::~Resolver() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->open = false;
  }
  state_->queue.clear();
  state_->names.clear();
}

const std::vector<std::string>* Resolver::at_hand(const std::string& host) {
  const auto it = state_->names.find(host);
  if (it == state_->names.end()) return nullptr;
  Name& name = it->second;
  if (!name.answer || !*name.answer) return nullptr;
  if (!name.under_way && Clock::now() >= name.renew_at) state_->check(host, name);
  return &**name.answer;
}

void Resolver::resolve(const std::string& host, Handler handler) {
  if (const auto* known = at_hand(host)) {
    const Addresses answer = *known;
    handler(answer);
    return;
  }
  Name& name = state_->names[host];
  name.waiting.push_back(std::move(handler));
  if (!name.under_way) state_->check(host, name);
}

Resolver::Lookup Resolver::system_lookup() {
  return [](const std::string& host) -> Addresses {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* list = nullptr;
    int rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    // A machine that has no address but the loopback's.
    if (rc == EAI_NONAME) {
      hints.ai_flags = 0;
      rc = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    }
    if (rc != 0) return std::unexpected(std::string(rc == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(rc)));
    std::vector<std::string> out;
    for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
      char text[INET6_ADDRSTRLEN] = {};
      const void* address = a->ai_family == AF_INET6
                                ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(a->ai_addr)->sin6_addr)
                                : static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(a->ai_addr)->sin_addr);
      if (inet_ntop(a->ai_family, address, text, sizeof text) != nullptr) out.emplace_back(text);
    }
    freeaddrinfo(list);
    if (out.empty()) return std::unexpected(std::string("the name has no address"));
    return out;
  };
}

}  // namespace rpcw
