#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "rpc/family/family.hpp"
#include "rpc/http_client.hpp"
#include "weighter/state/observation.hpp"

namespace rpcw {

namespace rpc {

/// Asks providers what the judge wants to know. Decides nothing, and when to ask is the caller's business.
class Prober {
 public:
  struct Subject {
    const config::Target* target = nullptr;
    /// What CheckKind::kCanary's argument counts.
    std::span<const config::Canary> canaries;
    /// Its family says what is asked. nullptr: a chain without limits, of the default family.
    const Chain* chain = nullptr;
  };

  /// Each subject is known by its index from then on; the canaries and the chain that it points to must stay. Throws
  /// what HttpClient's constructor throws.
  Prober(boost::asio::io_context& io, const config::Probe& settings, const std::vector<Subject>& subjects,
         Resolver::Lookup lookup = Resolver::system_lookup());

  /// Another one; returns its index. The connections of the others stay.
  std::size_t add(const Subject& subject);
  /// Handlers of its requests under way are not called any more. Its index may be given to a new one.
  void remove(std::size_t target);

  /// Called when a head's request has got its turn among those under way and leaves. Until then it waits for us, not
  /// for the provider. Perhaps called from within `head`; again when the head is asked for a second time, after an
  /// answer that had none. Must not ask for anything. Empty: nothing is called.
  using LeftHandler = std::move_only_function<void()>;

  /// Each handler is called once, from the loop, unless the prober is destroyed before; which is not to be done from
  /// within a handler.
  void head(std::size_t target, std::move_only_function<void(HeadObservation)> handler, LeftHandler left = {});
  void check(std::size_t target, const Check& check, std::move_only_function<void(Answer)> handler);

  /// Both at once, for when there are many targets to ask: where the family has batches, checks that take the provider
  /// no work go into the head's request, as a JSON-RPC batch. Nothing but its good parts count. All else, the whole of
  /// one that fails or takes a second, is asked by itself, with the usual time-out, so that one who answers no batches,
  /// or counts them against some limit, is seen as if there were none. So is a head that came slowly: its latency is to
  /// be its own. `answered` is called once for each of `questions`; `afterwards` is for the batch's connection.
  void head_and_checks(std::size_t target, std::span<const Check> checks, Afterwards afterwards,
                       std::move_only_function<void(HeadObservation)> head,
                       std::move_only_function<void(Answer)> answered, LeftHandler left = {});

 private:
  struct Known {
    HttpTarget target;
    std::span<const config::Canary> canaries;
    const Chain* chain;
    std::shared_ptr<const family::Family> family;
    bool removed = false;
  };
  using KnownPtr = std::shared_ptr<Known>;
  using HeadHandler = std::move_only_function<void(HeadObservation)>;
  using AnswerHandler = std::move_only_function<void(Answer)>;

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
