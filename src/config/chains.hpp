#pragma once

#include <string_view>
#include <vector>

#include "config/chain.hpp"
#include "config/own_family.hpp"
#include "config/reader.hpp"

namespace rpcw::config {

/// Warns where max_lag is not below max_block_age, if one of the two is given.
void warn_of_idle_lag(Reader& r, const Chain& chain, const Given& age, const Given& lag);

/// The chains of a file's own, and the choice among them and the known ones.
class Chains {
 public:
  /// `families` must outlive it.
  explicit Chains(const Families& families) : families_(families) {}

  /// Reads one [[chain]].
  void read(Reader& r);
  /// Reads a backend's `chain`. False: it was refused, or what it refers to was.
  bool choose(Reader& r, Chain& out) const;

 private:
  struct Own {
    Chain chain;
    Place place;
    /// Whether all of it was understood; if not, the tables that use it are not blamed again.
    bool valid = true;
  };

  [[nodiscard]] const Own* find_own(std::string_view name) const;

  const Families& families_;
  std::vector<Own> own_;
};

}  // namespace rpcw::config
