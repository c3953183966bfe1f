#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace rpcw::test {

/// A folder that goes away.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] std::string file(std::string_view name) const { return path_ / name; }
  std::string write(std::string_view name, std::string_view content) const;

 private:
  std::filesystem::path path_;
};

/// A certificate authority that lives as long as the test. Files hold certificate and key.
class Authority {
 public:
  explicit Authority(const TemporaryFolder& folder);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  [[nodiscard]] std::string ca_file() const { return ca_file_; }
  struct Wishes {
    bool self_signed = false;
    bool expired = false;
  };
  /// For a DNS name or an IP address; returns the file's path.
  std::string issue(const std::string& name) { return issue(name, Wishes{}); }
  std::string issue(const std::string& name, Wishes wishes);

 private:
  struct Keys;
  const TemporaryFolder& folder_;
  std::unique_ptr<Keys> keys_;
  std::string ca_file_;
  int serial_ = 1;
};

}  // namespace rpcw::test
