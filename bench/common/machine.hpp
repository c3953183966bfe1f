#pragma once

#include <string>

namespace rpcw::bench {

/// What results were measured on.
struct Machine {
  /// 2026-01-02.
  std::string date;
  std::string processor;
  unsigned cores = 0;
  std::string kernel;
  std::string haproxy;

  /// "Run on 2026-01-02: …", a paragraph for the tables.
  [[nodiscard]] std::string sentence() const;
};
Machine this_machine();

}  // namespace rpcw::bench
