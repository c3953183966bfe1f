#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rpcw {

/// Looks host names up off the loop, on at most a given number of threads, so that a slow name server can neither hold
/// up a probe of another provider nor pile up threads. libcurl's own threaded resolver does either: it waits for the
/// look-up when a transfer times out, or (CURLOPT_QUICK_EXIT) leaves the thread behind and starts one more next time.
///
/// Look-ups of one name are shared. An answer is kept for a while; after that it is renewed in the background while the
/// old one stays in use, also when the renewal fails: a name server that is down says nothing about a provider.
class Resolver {
 public:
  /// Numeric addresses in the order to try them, IPv6 without brackets; or a sentence why there are none.
  using Addresses = std::expected<std::vector<std::string>, std::string>;
  using Lookup = std::function<Addresses(const std::string& host)>;
  using Handler = std::move_only_function<void(const Addresses&)>;

  /// libcurl's and most stub resolvers' own default.
  static constexpr std::chrono::milliseconds kLifetime{60'000};

  /// `lookup` runs on other threads; the default is getaddrinfo. `max_lookups` is at least 1.
  Resolver(boost::asio::any_io_executor executor, unsigned max_lookups, Lookup lookup = system_lookup(),
           std::chrono::milliseconds lifetime = kLifetime);
  /// Never waits for a look-up under way: its thread ends by itself, and its answer is dropped. Waiting handlers are
  /// not called. Not to be destroyed from within a handler.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// The addresses, when they are known; nullptr: they have to be asked for. Valid until the executor's next turn.
  const std::vector<std::string>* at_hand(const std::string& host);

  /// Calls the handler once on the executor's thread: at once when an answer is at hand. Neither keeps the executor's
  /// context from running out of work.
  void resolve(const std::string& host, Handler handler);

  static Lookup system_lookup();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace rpcw
