#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rpcw::test {

/// A TCP connection to 127.0.0.1 by blocking calls, each limited in time.
class RawConnection {
 public:
  /// Throws std::system_error if the connection is refused.
  explicit RawConnection(std::uint16_t port);
  ~RawConnection();
  RawConnection(RawConnection&& other) noexcept;
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  /// False: the other end has closed.
  bool send(std::string_view bytes) const;
  /// All that comes until the other end closes or `limit` is over.
  [[nodiscard]] std::string read_to_end(std::chrono::milliseconds limit = std::chrono::seconds(20)) const;
  /// All that comes until `text` is in it, the other end closes, or `limit` is over.
  [[nodiscard]] std::string read_until(std::string_view text,
                                       std::chrono::milliseconds limit = std::chrono::seconds(20)) const;
  /// Sees the other end close within `limit`.
  [[nodiscard]] bool is_closed(std::chrono::milliseconds limit = std::chrono::seconds(20)) const;

 private:
  int fd_ = -1;
};

struct HttpReply {
  /// 0: no answer.
  unsigned status = 0;
  /// Names in lower case.
  std::map<std::string, std::string> headers{};
  /// Without chunks.
  std::string body{};
};

HttpReply parse_reply(std::string_view bytes);
/// One request on a connection of its own. `headers` are whole lines; a Host is added unless one is among them.
HttpReply http_get(std::uint16_t port, std::string_view target, const std::vector<std::string>& headers = {},
                   std::string_view method = "GET");

}  // namespace rpcw::test
