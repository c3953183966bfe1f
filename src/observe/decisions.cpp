#include "observe/decisions.hpp"

#include "base/text.hpp"
#include "observe/json.hpp"

namespace rpcw::observe {
namespace {

void write(Json& out, const ServerChange& change, WallTime time) {
  out.object();
  out.key("time").text(rfc3339(time));
  out.change(change);
  out.end_object();
}

}  // namespace

void Decisions::add(const ServerChange& change, WallTime now) {
  if (entries_.size() == kMost) entries_.pop_back();
  entries_.push_front({now, change});
}

std::string Decisions::json(const Filter& filter) const {
  Json out;
  out.object();
  out.key("schema").number(1);
  out.key("decisions").array();
  std::size_t left = filter.limit;
  for (const Entry& e : entries_) {
    if (!filter.backend.empty() && e.change.backend != filter.backend) continue;
    if (!filter.server.empty() && e.change.server != filter.server) continue;
    if (left-- == 0) break;
    write(out, e.change, e.time);
  }
  out.end_array();
  out.end_object();
  return out.take() + "\n";
}

std::string Decisions::json(const ServerChange& change, WallTime now) {
  Json out;
  write(out, change, now);
  return out.take();
}

}  // namespace rpcw::observe
