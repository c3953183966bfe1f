#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "config/config.hpp"
#include "weighter/state/observation.hpp"

namespace rpcw::rpc {

/// See http_client.hpp.
enum class Afterwards : std::uint8_t;

/// Asks providers what the judge wants to know. Decides nothing, and when to ask is the caller's business. An
/// interface, so that the agent is tested without a socket; Prober is the real one.
class Probes {
 public:
  struct Subject {
    const config::Target* target = nullptr;
    /// What CheckKind::kCanary's argument counts.
    std::span<const config::Canary> canaries;
    /// Its family says what is asked. nullptr: a chain without limits, of the default family.
    const Chain* chain = nullptr;
  };
  using HeadHandler = std::move_only_function<void(HeadObservation)>;
  using AnswerHandler = std::move_only_function<void(Answer)>;
  /// Called when a head's request has got its turn among those under way and leaves. Until then it waits for us, not
  /// for the provider. Perhaps called from within `head`; again when the head is asked for a second time, after an
  /// answer that had none. Must not ask for anything. Empty: nothing is called.
  using LeftHandler = std::move_only_function<void()>;

  Probes() = default;
  virtual ~Probes() = default;
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  /// Another one; returns its index. The connections of the others stay.
  virtual std::size_t add(const Subject& subject) = 0;
  /// Handlers of its requests under way are not called any more. Its index may be given to a new one.
  virtual void remove(std::size_t target) = 0;

  /// Each handler is called once, from the loop, unless this is destroyed before; which is not to be done from within a
  /// handler.
  virtual void head(std::size_t target, HeadHandler handler, LeftHandler left) = 0;
  virtual void check(std::size_t target, const Check& check, AnswerHandler handler) = 0;

  /// Both at once, for when there are many targets to ask: where the family has batches, checks that take the provider
  /// no work go into the head's request, as a JSON-RPC batch. Nothing but its good parts count. All else, the whole of
  /// one that fails or takes a second, is asked by itself, with the usual time-out, so that one who answers no batches,
  /// or counts them against some limit, is seen as if there were none. So is a head that came slowly: its latency is to
  /// be its own. `answered` is called once for each of `questions`; `afterwards` is for the batch's connection.
  virtual void head_and_checks(std::size_t target, std::span<const Check> checks, Afterwards afterwards,
                               HeadHandler head, AnswerHandler answered, LeftHandler left) = 0;
};

}  // namespace rpcw::rpc
