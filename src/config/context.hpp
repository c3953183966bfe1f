#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "config/expand.hpp"
#include "config/load.hpp"
#include "config/reader.hpp"

/// What the readers of the single tables share.
namespace rpcw::config {

/// Where a name was first defined.
using Seen = std::map<std::string, Place, std::less<>>;

/// The path of a file that the configuration names.
struct FilePath {
  std::string path;
  /// As messages show it: with the names of variables.
  std::string shown;
};

class Context {
 public:
  Context(const std::string& file, const Surroundings& surroundings)
      : directory_(std::filesystem::path(file).parent_path()), surroundings_(surroundings) {}

  /// Whether what the network is reached with is wanted at all.
  [[nodiscard]] bool network() const { return surroundings_.network; }
  /// The same of what providers are reached with.
  [[nodiscard]] bool providers() const { return surroundings_.network && surroundings_.providers; }
  /// The names that `strategy` accepts.
  [[nodiscard]] std::span<const std::string_view> strategies() const { return surroundings_.strategies; }
  /// The text with its variables filled in. Notes what is wrong with it, and gives nullopt then.
  std::optional<Expanded> expanded(Reader& r, std::string_view key, const Found<std::string>& from) const;
  /// A path with its variables filled in, relative to the configuration file. Notes what is wrong.
  std::optional<FilePath> path(Reader& r, std::string_view key, const Found<std::string>& from) const;
  /// The contents of the file that `path` gave. Notes it when it cannot be read.
  std::optional<std::string> contents(Reader& r, std::string_view key, Place place, const FilePath& file) const;
  /// Notes it when all users may read or write the file, which holds a key, and its owner could change that.
  void warn_of_open(Reader& r, std::string_view key, Place place, const FilePath& file) const;
  /// Whether a file that is no socket has this name.
  [[nodiscard]] bool is_other_than_socket(const std::string& path) const;
  /// What is wrong in files that can be read.
  [[nodiscard]] std::optional<TlsFault> find_tls_fault(const TlsFiles& files) const;

 private:
  std::filesystem::path directory_;
  const Surroundings& surroundings_;
};

/// Adds which variables are empty: they are behind most texts that make no sense.
std::string blaming_empty(std::string message, const Expanded& text);
void warn_of_empty(Reader& r, std::string_view key, Place place, const Expanded& text);

/// ca_file, cert_file and key_file. `wanted`: else the keys are known, and their files are neither read nor taken.
void read_tls(Reader& r, const Context& context, bool wanted, TlsFiles& out);

/// `low`, which is at least `least`, may not be above `high`; a default gives way to what was written.
void read_bound(Reader& r, std::string_view low_key, const Given& low_given, milliseconds least, milliseconds& low,
                std::string_view high_key, const Given& high_given, milliseconds& high);

}  // namespace rpcw::config
