#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace rpcw::store {

/// The whole file; absent: there is none. Follows symbolic links. The error says why it cannot be read: it is none that
/// can be opened, no regular file, or longer than `most_bytes`; without the path.
std::expected<std::optional<std::string>, std::string> read_file(const std::string& path, std::size_t most_bytes);

/// Replaces the file in one step: a reader finds the old text or the new one, also after a power cut. Of a
/// symbolic link the target is replaced, also one that does not exist yet. Only the owner may read and write the new
/// file (mode 0600), whatever the old one's mode was. What is no regular file (a folder, a device) is not replaced.
/// Waits for the disk. The error says what could not be done and why, without the path.
std::expected<void, std::string> replace_file(const std::string& path, std::string_view text);

}  // namespace rpcw::store
