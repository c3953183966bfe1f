#pragma once

#include <string>
#include <string_view>

namespace rpcw::test {

/// systemd's end of $NOTIFY_SOCKET.
class NotifySocket {
 public:
  explicit NotifySocket(std::string path);
  ~NotifySocket();
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  [[nodiscard]] std::string variable() const { return "NOTIFY_SOCKET=" + path_; }
  /// The next message with this text; those before it are dropped. Empty: none came.
  [[nodiscard]] std::string next(std::string_view text) const;
  /// All that came and was not taken yet.
  [[nodiscard]] std::string rest() const;

 private:
  /// Empty: there is none now.
  [[nodiscard]] std::string take() const;

  std::string path_;
  int fd_ = -1;
};

}  // namespace rpcw::test
