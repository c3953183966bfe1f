#pragma once

namespace rpcw::model {

/// Of so many random cases those that are tried: under a sanitizer, which makes each of them some twenty times as slow,
/// the first tenth; at least one.
constexpr unsigned tried(unsigned cases) {
#ifdef __SANITIZE_ADDRESS__
  return cases < 10 ? 1 : cases / 10;
#else
  return cases;
#endif
}

}  // namespace rpcw::model
