#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "weighter/state/topology.hpp"

/// The rules for an operator who takes a server out of HAProxy and puts it back. Pure.
namespace rpcw {

/// Whether HAProxy sends the server new requests, or would if it is a backup and no active server serves.
bool serves(const haproxy::ServerRow& row);

/// What `drain` may do at one HAProxy.
struct DrainPlan {
  enum class Kind : std::uint8_t {
    kDrain,
    kOut,      ///< already in DRAIN or MAINT: nothing is to be sent
    kLast,     ///< no other server of the backend serves
    kUnknown,  ///< no such backend or server, or several servers of that name
  };
  Kind kind = Kind::kDrain;
  /// A sentence for kLast and kUnknown; else empty.
  std::string why{};
  /// The server that must have a weight before the other one is drained; empty: others serve already.
  std::string successor{};
};

/// `healthy`: servers of the backend that the agent judges healthy. One of them with weight 0 stands by, so it can be
/// the successor. Empty: no agent was asked.
DrainPlan plan_drain(const haproxy::Instance& instance, std::string_view backend, std::string_view server,
                     const std::set<std::string, std::less<>>& healthy = {});

/// The server's row; on an error a sentence in `why`, and nullptr.
const haproxy::ServerRow* find_server(const haproxy::Instance& instance, std::string_view backend,
                                      std::string_view server, std::string& why);

}  // namespace rpcw
