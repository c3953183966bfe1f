#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "rpc/family/family.hpp"

namespace rpcw::rpc::family {

/// Finds the family of a server of which nothing is known, by its answers to at most five requests. No I/O.
class Recogniser {
 public:
  static constexpr std::size_t kMostRequests = 5;

  /// `target` scrubs; it must stay.
  explicit Recogniser(const HttpTarget& target);

  /// What to ask next, valid until the answer is given; nullptr: it is done.
  [[nodiscard]] const HttpRequest* next() const;
  void answered(const HttpAnswer& answer);
  /// The request had no answer at all: another one would have none either.
  void failed();

  /// nullptr: none was recognised.
  [[nodiscard]] const Family* family() const { return family_; }
  /// Which network it is; empty: the family does not tell.
  [[nodiscard]] const std::string& identity() const { return identity_; }

 private:
  struct Step {
    HttpRequest request;
    /// The families that may answer it.
    std::vector<const Family*> candidates;
  };

  void plan(const HttpAnswer& first);
  void ask_for(std::initializer_list<std::string_view> families);
  bool fits(const Family& family, const HttpAnswer& answer);

  const HttpTarget& target_;
  std::vector<Step> steps_;
  std::size_t at_ = 0;
  const Family* family_ = nullptr;
  std::string identity_;
};

}  // namespace rpcw::rpc::family
