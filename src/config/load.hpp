#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace rpcw::config {

/// One thing that is wrong, or questionable, in a configuration file.
struct Diagnostic {
  std::string file;
  /// From 1; 0 when the finding has no place in the file (an empty file, one that cannot be read).
  unsigned line = 0;
  unsigned column = 0;
  /// Dotted path of the key as a user would write it, such as `backend.rpc-backend.server.quicknode.preference`.
  /// May be empty.
  std::string key;
  /// What was found and what is accepted. Never holds a secret.
  std::string message;
  /// How many findings it is about: more than 1 only in the last one of a list that was cut, which says how many more
  /// there are.
  std::size_t count = 1;

  /// `file:line:column: key: message`, without the parts that are absent.
  [[nodiscard]] std::string to_text() const;
};

/// What is wrong with TLS files.
struct TlsFault {
  /// "ca_file", "cert_file" or "key_file".
  std::string_view key;
  /// The end of a sentence that begins with the file's name. Nothing of a file is in it.
  std::string message;
};

/// What the loader reads from its surroundings; the default is the process's environment and the file system.
struct Surroundings {
  /// The value of a variable, or nullopt when it is not set.
  std::function<std::optional<std::string>(const std::string&)> variable;
  /// A file's contents, or a sentence why it cannot be read.
  std::function<std::expected<std::string, std::string>(const std::string&)> read_file;
  /// False: what the network is reached with (URLs, headers, endpoints, proxy, TLS files) is neither expanded nor read,
  /// and stays empty in the result. Rules can be tried then on a machine that has none of the secrets.
  bool network = true;
  /// False: the same for what providers are reached with. HAProxy's endpoints and its TLS files are read.
  bool providers = true;
  /// The names that `strategy` accepts.
  std::vector<std::string_view> strategies{};
  /// A file's type and permissions as `stat` has them, or nullopt when there is none. Empty: no file is looked at.
  std::function<std::optional<unsigned>(const std::string&)> mode{};
  /// Whether others decide about a file's permissions than its owner, so that no advice on them can be followed: on a
  /// read-only mount, and among the secrets that Docker or Podman mount. Empty: nowhere.
  std::function<bool(const std::string&)> mode_is_given{};
  /// See tls_files.hpp. Empty: TLS files are not looked into.
  std::function<std::optional<TlsFault>(const TlsFiles&)> find_tls_fault{};

  static Surroundings of_process(std::vector<std::string_view> strategies);
};

/// A file can be wrong in every line; a person reads the first lines of a list.
inline constexpr std::size_t kMostTold = 50;

struct Loaded {
  Config config;
  /// Questionable, but not wrong.
  std::vector<Diagnostic> warnings;
  /// A secret stands in the file itself, rather than in a variable or another file.
  bool holds_secret = false;
};

/// Parses and checks a configuration. `file` is only used in messages and to resolve relative paths of `url_file` and
/// the TLS files. On failure: the semantic errors of the file in the order of their lines, or the one syntax error. Of
/// errors and warnings at most `kMostTold` are told, and the number of the rest.
std::expected<Loaded, std::vector<Diagnostic>> parse(std::string_view text, const std::string& file,
                                                     const Surroundings& surroundings);

/// Reads `file`, a regular file of at most 1 MiB, and parses it. Adds a warning when all users may write it, or may
/// read a secret that stands in it. Neither logs nor changes anything, so that any thread may call it.
std::expected<Loaded, std::vector<Diagnostic>> load(const std::string& file, const Surroundings& surroundings);

}  // namespace rpcw::config
