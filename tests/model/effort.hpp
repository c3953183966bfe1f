#pragma once

namespace rpcw::model {

/// Of so many random cases those that are tried: in a build with a sanitizer or counters, which make each of them some
/// ten times as slow, the first tenth; at least one.
constexpr unsigned tried(unsigned cases) {
#ifdef RPCW_WATCHED
  return cases < 10 ? 1 : cases / 10;
#else
  return cases;
#endif
}

}  // namespace rpcw::model
