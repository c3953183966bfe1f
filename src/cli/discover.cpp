#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "agent/haproxys.hpp"
#include "base/wait_group.hpp"
#include "cli/cli.hpp"
#include "cli/load.hpp"
#include "cli/open_sockets.hpp"
#include "cli/print.hpp"
#include "cli/starter.hpp"
#include "config/endpoint.hpp"
#include "config/load.hpp"
#include "config/tls_files.hpp"
#include "haproxy/client.hpp"
#include "rpc/family/recognise.hpp"
#include "rpc/http_client.hpp"
#include "weighter/plan/server_list.hpp"
#include "weighter/strategy/strategy.hpp"

namespace rpcw::cli {
namespace {

namespace asio = boost::asio;

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

/// Relative paths of a configuration begin at its folder, and where this one will be is not known.
std::string with_absolute_path(const config::Endpoint& e) {
  switch (e.kind) {
    case config::Endpoint::Kind::kUnix:
      return "unix:" + absolute(e.address);
    case config::Endpoint::Kind::kMaster:
      return "master:unix:" + absolute(e.address);
    default:
      return e.text;
  }
}

/// One server that is asked what it speaks.
class Stranger : public std::enable_shared_from_this<Stranger> {
 public:
  Stranger(rpc::HttpClient& client, const config::Target& target, milliseconds timeout,
           std::move_only_function<void(const rpc::family::Recogniser&)> done)
      : client_(client), target_(target), recogniser_(target_), timeout_(timeout), done_(std::move(done)) {}

  void ask() {
    const rpc::HttpRequest* request = recogniser_.next();
    if (request == nullptr) {
      done_(recogniser_);
      return;
    }
    client_.start(target_, *request, timeout_, [self = shared_from_this()](const rpc::HttpResult& result) {
      if (result)
        self->recogniser_.answered(*result);
      else
        self->recogniser_.failed();
      self->ask();
    });
  }

 private:
  rpc::HttpClient& client_;
  const rpc::HttpTarget target_;
  rpc::family::Recogniser recogniser_;
  const milliseconds timeout_;
  std::move_only_function<void(const rpc::family::Recogniser&)> done_;
};

/// Asks every server of the configuration what it speaks and which chain it is on.
asio::awaitable<std::map<std::string, ChainAnswers>> ask_chains(asio::io_context& io, const config::Config& config) {
  std::map<std::string, ChainAnswers> out;
  if (auto ok = ensure_open_files(config); !ok) throw std::runtime_error(ok.error());
  rpc::HttpClient client(io, config.probe, 1);
  WaitGroup all(io.get_executor());
  for (const config::Backend& backend : config.backends) {
    ChainAnswers& answers = out[backend.name];
    for (const config::Server& server : backend.servers) {
      all.expect();
      std::make_shared<Stranger>(client, server.target, config.probe.timeout,
                                 [&](const rpc::family::Recogniser& found) {
                                   if (found.family() != nullptr)
                                     ++answers.networks[{std::string(found.family()->name()), found.identity()}];
                                   else
                                     ++answers.silent;
                                   all.arrive();
                                 })
          ->ask();
    }
  }
  co_await all.wait();
  co_return out;
}

/// Sentences on its stats sockets that others may open. HAProxy lists them all; where it does not, the one in use.
asio::awaitable<std::vector<std::string>> find_open_sockets(asio::io_context& io, const config::Config& where) {
  const config::Endpoint& endpoint = where.haproxy.endpoints.front();
  const bool tls = !where.haproxy.tls.empty();
  // Behind a name are several, and each has an address of its own.
  if (endpoint.kind == config::Endpoint::Kind::kDns) co_return open_endpoint(endpoint, tls);
  haproxy::Client client(io.get_executor(), endpoint, haproxy::tls_context(where.haproxy.tls), where.haproxy.timeout);
  // Not as a temporary, which GCC 12 cannot compile here.
  std::vector<std::string> commands(1, "show cli sockets");
  const auto replies = co_await client.run(std::move(commands));
  if (!replies || replies->empty() || !replies->front().starts_with("# socket")) co_return open_endpoint(endpoint, tls);
  co_return open_sockets(replies->front());
}

struct Found {
  /// The HAProxys that answered, in the order of the file.
  std::vector<haproxy::Instance> instances;
  /// Why the others did not, each a sentence.
  std::vector<std::string> failures;
  std::vector<std::string> open_sockets;
  std::optional<Starter> starter;
};

asio::awaitable<Found> look(asio::io_context& io, const config::Config& where, const StarterWishes& wishes,
                            bool probe) {
  Found out;
  Haproxys all = co_await reach_haproxys(io, where.haproxy, {});
  for (Haproxy& one : all.reached) out.instances.push_back(std::move(one.instance));
  out.failures = std::move(all.failures);
  out.open_sockets = co_await find_open_sockets(io, where);
  if (out.instances.empty()) co_return out;
  StarterWishes first = wishes;
  first.for_probing = probe;
  out.starter = make_starter(first, out.instances);
  if (!probe || out.starter->backends.empty()) co_return out;
  auto parsed = config::parse(out.starter->text, "discover", config::Surroundings::of_process(strategy_names()));
  if (!parsed)
    throw std::logic_error("what discover has made is no configuration: " + parsed.error().front().to_text());
  std::vector<const haproxy::Instance*> lists;
  for (const haproxy::Instance& instance : out.instances) lists.push_back(&instance);
  const config::Config config = with_servers(parsed->config, server_lists_of(parsed->config, lists)).config;
  const auto answers = co_await ask_chains(io, config);
  out.starter = make_starter(wishes, out.instances, answers);
  co_return out;
}

}  // namespace

int command_discover(const DiscoverOptions& options) {
  const auto endpoint = config::parse_endpoint(options.endpoint);
  if (!endpoint) {
    std::fprintf(stderr, "--haproxy: %s\n", endpoint.error().c_str());
    return kUsage;
  }
  config::Config where;
  where.haproxy.endpoints.push_back(*endpoint);
  where.haproxy.tls = {absolute(options.ca_file), absolute(options.cert_file), absolute(options.key_file)};
  if (where.haproxy.tls.cert_file.empty() != where.haproxy.tls.key_file.empty()) {
    std::fprintf(stderr, "--cert-file and --key-file belong together\n");
    return kUsage;
  }
  if (const auto ok = config::check_tls_files(where.haproxy.tls); !ok) {
    std::fprintf(stderr, "%s\n", ok.error().c_str());
    return kUsage;
  }
  const StarterWishes wishes{with_absolute_path(*endpoint), where.haproxy.tls, options.backends};

  asio::io_context io(1);
  std::optional<Found> result;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        result = co_await look(io, where, wishes, options.probe);
        io.stop();
      },
      rethrow);
  io.run();

  for (const std::string& open : result->open_sockets) std::fprintf(stderr, "warning: %s\n", open.c_str());
  for (const std::string& failure : result->failures) std::fprintf(stderr, "%s\n", failure.c_str());
  if (!result->starter) return kHaproxy;
  const Starter& starter = *result->starter;
  const bool hidden = std::ranges::any_of(result->instances, [](const haproxy::Instance& h) {
    return !h.backends.empty() && std::ranges::all_of(h.backends, [](const auto& b) { return b.algo.empty(); });
  });
  if (hidden) {
    std::fprintf(stderr, "%s: HAProxy does not show its servers' addresses: the `stats socket` needs `level admin`\n",
                 options.endpoint.c_str());
    return kHaproxy;
  }
  if (!starter.unknown.empty()) {
    for (const std::string& name : starter.unknown)
      std::fprintf(stderr, "%s: HAProxy has no backend %s\n", options.endpoint.c_str(), name.c_str());
    return kHaproxy;
  }
  print(starter.text);
  if (!result->failures.empty()) return kHaproxy;
  if (!starter.backends.empty()) return kDone;
  std::fprintf(stderr, "there is no backend to manage\n");
  return kUnhealthy;
}

}  // namespace rpcw::cli
