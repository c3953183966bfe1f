#pragma once

#include "store/json_codec.hpp"
#include "weighter/state/history.hpp"

namespace rpcw::store {

/// A history to the last bit, with all that is under way, for recordings: instants are those of the same clock (as
/// distances from its zero). One object.
void write_history(JsonWriter& out, const BackendHistory& history);
/// Precondition: `history` has as many servers and references as there must be; another number is an error. As ever
/// with JsonField, errors are noted in the document, and then `history` must not be used.
void read_history(const JsonField& in, BackendHistory& history);

}  // namespace rpcw::store
