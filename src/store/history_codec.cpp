#include "store/history_codec.hpp"

#include <cstddef>

#include "store/history_fields.hpp"

namespace rpcw::store {

void write_history(JsonWriter& out, const BackendHistory& history) {
  Saver saver(out, MonoTime{0}, true);
  out.begin_object();
  const auto each = [](Saver& s, const TargetHistory& t) { fields::target(s, t); };
  saver.list("servers", history.servers, kMostTargets, each);
  saver.list("references", history.references, kMostTargets, each);
  fields::beside_targets(saver, history);
  out.end_object();
}

void read_history(const JsonField& in, BackendHistory& history) {
  const std::size_t servers = history.servers.size();
  const std::size_t references = history.references.size();
  history = {};
  Loader loader(in, MonoTime{0}, true);
  const auto each = [](Loader& l, TargetHistory& t) { fields::target(l, t); };
  loader.list("servers", history.servers, kMostTargets, each);
  loader.list("references", history.references, kMostTargets, each);
  loader.demand(history.servers.size() == servers, "servers", "must be as many as there are");
  loader.demand(history.references.size() == references, "references", "must be as many as there are");
  fields::beside_targets(loader, history);
}

}  // namespace rpcw::store
