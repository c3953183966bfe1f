#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace rpcw::observe {

/// Compresses a body in pieces, as `Content-Encoding: gzip` wants it.
class Gzip {
 public:
  /// Throws std::bad_alloc without memory.
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  /// What is ready after `text`; with `end` all the rest.
  std::string add(std::string_view text, bool end);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rpcw::observe
