#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "store/recording_format.hpp"
#include "weighter/system/event_sink.hpp"
#include "weighter/system/system_state.hpp"

namespace rpcw::replay {

/// Where the configuration has something that the recording numbers; absent: it is left out.
using Index = std::optional<std::uint32_t>;

/// The configuration without the servers that a section did not record, and where it has those that it did.
class Fit {
 public:
  /// `notes` gets a sentence about each backend, server or list of references that only one side has.
  Fit(const store::Section& section, const config::Config& config, std::set<std::string>& notes);

  /// Without backends where nothing fits.
  [[nodiscard]] const config::Config& config() const { return config_; }
  [[nodiscard]] Index backend(std::uint32_t recorded) const { return backends_[recorded].backend; }
  [[nodiscard]] Index server(std::uint32_t backend, std::uint32_t recorded) const {
    return backends_[backend].servers[recorded];
  }

  /// The event by the configuration's numbers; absent: it is about what was left out.
  [[nodiscard]] std::optional<Event> fit(Event&& event) const;
  /// Precondition: the backend is not left out.
  [[nodiscard]] BackendState fit(store::Known&& known) const;

 private:
  class Mover;
  struct Place {
    Index backend;
    /// By the section's numbers.
    std::vector<Index> servers;
    std::vector<Index> references;
    /// Nothing was left out or moved.
    bool all_in_place = false;
  };

  /// Why this backend is left out; empty: it is not. `at`: the section's, or its end.
  [[nodiscard]] std::string misfit(const config::Backend& backend, const store::Section& section,
                                   std::vector<store::SectionBackend>::const_iterator at) const;
  void add(const config::Backend& from, const store::SectionBackend& was, Place& place, std::set<std::string>& notes);
  static void add_servers(const config::Backend& from, const store::SectionBackend& was, config::Backend& to,
                          Place& place, std::set<std::string>& notes);
  static void add_references(const config::Backend& from, const store::SectionBackend& was, config::Backend& to,
                             Place& place, std::set<std::string>& notes);
  void number_targets(const store::Section& section);
  [[nodiscard]] BackendView fit(std::uint32_t recorded, BackendView&& view) const;

  config::Config config_;
  std::vector<Place> backends_;
  /// By the section's numbers.
  std::vector<std::optional<std::size_t>> targets_;
};

}  // namespace rpcw::replay
