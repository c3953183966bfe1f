#pragma once

#include <optional>

#include "config/config.hpp"
#include "store/json_codec.hpp"
#include "weighter/state/exchange.hpp"
#include "weighter/state/topology.hpp"

/// What an exchange with HAProxy brought, as JSON, for recordings. Each `write…` writes one object, and the `read_…` of
/// the same name reads it.
namespace rpcw::store {

/// One read of HAProxy's servers: all of it, or, where `before` has the same backends and servers, what differs from
/// that. nullptr: there was no read before. What an endpoint's control adds to a read is not written (`contended`,
/// `backlog`).
void write_instance(JsonWriter& out, const haproxy::Instance& instance, const haproxy::Instance* before);
/// Absent: `in` is a difference, and `before` is nullptr.
std::optional<haproxy::Instance> read_instance(const JsonField& in, const haproxy::Instance* before);

void write(JsonWriter& out, const haproxy::Info& info);
haproxy::Info read_info(const JsonField& in);

void write(JsonWriter& out, const haproxy::Failure& failure);
haproxy::Failure read_haproxy_failure(const JsonField& in);

void write(JsonWriter& out, const haproxy::Outcome& outcome);
haproxy::Outcome read_push_outcome(const JsonField& in);

/// Its kind and its names, as reports and logs show them; not where it is.
void write(JsonWriter& out, const config::Endpoint& endpoint);
config::Endpoint read_endpoint(const JsonField& in);

}  // namespace rpcw::store
