#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "rpc/family/family.hpp"
#include "rpc/http_client.hpp"
#include "rpc/probes.hpp"
#include "weighter/state/observation.hpp"

namespace rpcw {

namespace rpc {

/// Probes by HTTP.
class Prober final : public Probes {
 public:
  /// Each subject is known by its index from then on; the canaries and the chain that it points to must stay. Throws
  /// what HttpClient's constructor throws.
  Prober(boost::asio::io_context& io, const config::Probe& settings, const std::vector<Subject>& subjects,
         Resolver::Lookup lookup = Resolver::system_lookup());

  std::size_t add(const Subject& subject) override;
  void remove(std::size_t target) override;
  void head(std::size_t target, HeadHandler handler, LeftHandler left = {}) override;
  void check(std::size_t target, const Check& check, AnswerHandler handler) override;
  void head_and_checks(std::size_t target, std::span<const Check> checks, Afterwards afterwards, HeadHandler head,
                       AnswerHandler answered, LeftHandler left = {}) override;

 private:
  struct Known {
    HttpTarget target;
    std::span<const config::Canary> canaries;
    const Chain* chain;
    std::shared_ptr<const family::Family> family;
    bool removed = false;
  };
  using KnownPtr = std::shared_ptr<Known>;

  void send_head(const KnownPtr& known, HeadHandler handler, Sending sending);
  static LeftHandler unless_removed(const KnownPtr& known, LeftHandler left);
  void send(const KnownPtr& known, const Check& check, AnswerHandler handler);
  KnownPtr known_of(const Subject& subject);
  static family::Context context_of(const Known& known, WallTime received);
  std::shared_ptr<const HttpRequest> batch_request(const family::Family& family, const std::vector<Check>& checks);

  config::Probe settings_;
  /// Shared with the requests under way; nullptr: removed.
  std::vector<KnownPtr> known_;
  /// Indices of removed ones.
  std::vector<std::size_t> free_;
  /// Families of the configuration's own, for all of their targets.
  std::map<const OwnFamily*, std::weak_ptr<const family::Family>> own_families_;
  /// Thousands of targets are asked the same.
  const family::Family* last_family_ = nullptr;
  std::vector<Check> last_checks_;
  std::shared_ptr<const HttpRequest> last_batch_;
  HttpClient client_;
};

}  // namespace rpc
}  // namespace rpcw
