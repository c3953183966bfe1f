#include "cli/pointers.hpp"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "config/url.hpp"
#include "rpc/family/registry.hpp"
#include "rpc/make_target.hpp"

namespace rpcw::cli {
namespace {

using rpc::HttpRequest;
using rpc::family::Family;

struct Question {
  std::string_view name;
  /// Absent: the head.
  std::optional<CheckKind> kind;
  HttpRequest request;
  std::string answer{};
};

std::vector<Question> questions_of(const Family& family) {
  std::vector<Question> out{{"head", std::nullopt, family.head_requests().front()}};
  for (const auto& [kind, name] : {std::pair(CheckKind::kIdentity, "identity"),
                                   std::pair(CheckKind::kSyncing, "syncing"), std::pair(CheckKind::kPeers, "peers")})
    if (family.offers(kind)) out.push_back({name, kind, family.request({kind})});
  return out;
}

std::string shown(const rpc::Picked& value, const rpc::HttpTarget& target) {
  using Kind = rpc::Picked::Kind;
  switch (value.kind) {
    case Kind::kMissing:
      return "missing";
    case Kind::kNull:
      return "null";
    case Kind::kObject:
      return "an object";
    case Kind::kArray:
      return "an array";
    case Kind::kString:
      return '"' + target.scrub(value.text) + '"';
    default:
      return target.scrub(value.text);
  }
}

std::string told(const Question& question, const Family& family, const rpc::HttpTarget& target,
                 const rpc::HttpResult& result) {
  std::string out;
  if (!result) return fmt::format("    {:<10} {}\n", question.name, result.error().what.detail);
  out = fmt::format("    {:<10} HTTP {}\n", question.name, result->status);
  const auto values = family.values_in(question.kind, result->body);
  if (values.empty()) out += "               the answer is not JSON\n";
  for (const auto& [pointer, value] : values)
    out += fmt::format("               {}: {}\n", url::without_keys(pointer), shown(value, target));
  return out;
}

}  // namespace

std::string read_pointers(const config::Config& config) {
  struct Server {
    std::string name;
    rpc::HttpTarget target;
    std::vector<Question> questions;
  };
  struct Backend {
    std::string name;
    std::shared_ptr<const Family> family;
    std::vector<std::unique_ptr<Server>> servers;
  };
  boost::asio::io_context io;
  std::vector<Backend> backends;
  for (const config::Backend& b : config.backends) {
    if (!b.chain.own_family) continue;
    Backend& out = backends.emplace_back(Backend{b.name, rpc::family::of(b.chain), {}});
    for (const config::Server& s : b.servers)
      if (!s.target.url.empty())
        out.servers.push_back(std::make_unique<Server>(
            Server{s.name, rpc::make_target(s.target, b.canaries, b.chain, config.probe), questions_of(*out.family)}));
  }
  if (backends.empty()) return {};
  {
    rpc::HttpClient client(io, config.probe, 1);
    std::size_t open = 0;
    for (Backend& b : backends)
      for (const auto& server : b.servers)
        for (Question& q : server->questions) {
          ++open;
          client.start(server->target, q.request, config.probe.timeout,
                       [&open, &q, &server, &b](const rpc::HttpResult& result) {
                         q.answer = told(q, *b.family, server->target, result);
                         --open;
                       });
        }
    while (open > 0) io.run_one();
  }
  std::string out;
  for (const Backend& b : backends) {
    out += fmt::format("backend {}, family {}: what stands at each pointer\n", b.name, b.family->name());
    for (const auto& server : b.servers) {
      out += fmt::format("  {}\n", server->name);
      for (const Question& q : server->questions) out += q.answer;
    }
  }
  return out;
}

}  // namespace rpcw::cli
