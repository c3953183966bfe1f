#include "store/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/read_file.hpp"

namespace rpcw::store {
namespace {

/// A file that is closed, and the temporary one removed, when it is left.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { (void)close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool open() const { return fd_ >= 0; }
  /// Some file systems tell only now that a write has failed.
  bool close() {
    const int fd = fd_;
    fd_ = -1;
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

std::unexpected<std::string> failed(std::string_view what) {
  return std::unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

/// Where the links from `path` end; the last one need not exist.
std::expected<std::filesystem::path, std::string> behind_links(std::filesystem::path path) {
  constexpr int kMostLinks = 40;
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code ec;
    const std::filesystem::path next = std::filesystem::read_symlink(path, ec);
    if (ec) return path;
    path = next.is_absolute() ? next : path.parent_path() / next;
  }
  return std::unexpected("cannot be written: too many symbolic links");
}

}  // namespace

std::expected<std::optional<std::string>, std::string> read_file(const std::string& path, std::size_t most_bytes) {
  auto text = read_regular_file(path, most_bytes);
  if (!text) return std::unexpected(fmt::format("cannot be read: {}", text.error()));
  return std::move(*text);
}

std::expected<void, std::string> replace_file(const std::string& path, std::string_view text) {
  const auto target = behind_links(path);
  if (!target) return std::unexpected(target.error());
  struct stat found {};
  if (stat(target->c_str(), &found) == 0 && !S_ISREG(found.st_mode))
    return std::unexpected("cannot be written: it is there already and no regular file");

  const std::filesystem::path folder = target->has_parent_path() ? target->parent_path() : ".";
  // Not derived from the file's name, which may be as long as names can be.
  std::string fresh = (folder / ".rpc-weighter-XXXXXX").string();
  Descriptor file(mkostemp(fresh.data(), O_CLOEXEC));
  if (!file.open()) return failed(fmt::format("cannot be written: no file can be made in {}", folder.string()));
  const auto give_up = [&fresh](std::string_view what) {
    auto out = failed(what);
    ::unlink(fresh.c_str());
    return out;
  };
  // mkostemp makes it 0600 but for the umask.
  if (fchmod(file.get(), S_IRUSR | S_IWUSR) != 0 || !write_all(file.get(), text)) return give_up("cannot be written");
  if (fsync(file.get()) != 0) return give_up("cannot be brought to the disk");
  if (!file.close()) return give_up("cannot be written");
  if (std::rename(fresh.c_str(), target->c_str()) != 0) return give_up("cannot be replaced");
  // The name, too, should outlive a power cut. Not every file system can do that.
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.open()) (void)fsync(directory.get());
  return {};
}

}  // namespace rpcw::store
