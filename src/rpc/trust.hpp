#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

struct x509_store_st;  // OpenSSL's X509_STORE

namespace rpcw::rpc {

/// The authorities that TLS trusts: read once and shared by all connections. libcurl by itself reads the authorities
/// (the system's take 20 ms and 2.6 MB) for each multi handle, at the first handshake: then answers of others wait in
/// their sockets, and count as slow.
class Trust {
 public:
  /// `ca_file`: PEM, and readable; empty: the system's, as libcurl was built to find them.
  explicit Trust(std::string ca_file) : ca_file_(std::move(ca_file)) {}

  /// Reads them, the first time. Without effect where libcurl uses another library than OpenSSL or knows no file: it
  /// then goes on by itself.
  void load();

  /// Has transfers of this handle use what was loaded, if anything was. The Trust must outlive them.
  void give(CURL* transfer) const;

 private:
  struct Free {
    void operator()(x509_store_st* store) const;
  };

  std::string ca_file_;
  bool tried_ = false;
  std::unique_ptr<x509_store_st, Free> store_;
};

}  // namespace rpcw::rpc
