#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>

namespace rpcw {

/// The whole file; nullopt: there is none. Follows symbolic links. Opens without waiting, so that a named pipe in the
/// file's place is an error and no wait. The error says why: no permission, no regular file, longer than `most_bytes`.
/// It does not hold the path. A disk that hangs is still waited for.
std::expected<std::optional<std::string>, std::string> read_regular_file(const std::string& path,
                                                                         std::size_t most_bytes);

}  // namespace rpcw
