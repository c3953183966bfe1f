#include "base/read_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace rpcw {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::expected<std::optional<std::string>, std::string> read_regular_file(const std::string& path,
                                                                         std::size_t most_bytes) {
  const auto failed = [] { return std::unexpected(std::string(std::strerror(errno))); };
  const auto too_long = [&] { return std::unexpected("it is longer than " + std::to_string(most_bytes) + " bytes"); };
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) {
    if (errno == ENOENT) return std::nullopt;
    // A Unix socket.
    if (errno == ENXIO) return std::unexpected("it is no regular file");
    return failed();
  }
  struct stat found {};
  if (::fstat(file.get(), &found) != 0) return failed();
  if (!S_ISREG(found.st_mode)) return std::unexpected("it is no regular file");
  if (std::cmp_greater(found.st_size, most_bytes)) return too_long();
  std::string out;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(file.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed();
    if (n == 0) return out;
    // It may grow while it is read, and files of /proc have the size 0.
    if (out.size() + static_cast<std::size_t>(n) > most_bytes) return too_long();
    out.append(buffer, static_cast<std::size_t>(n));
  }
}

}  // namespace rpcw
