#include "rpc/trust.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <string_view>
#include <utility>

namespace rpcw::rpc {
namespace {

CURLcode use(CURL*, void* context, void* store) {
  SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context), static_cast<X509_STORE*>(store));
  return CURLE_OK;
}

}  // namespace

void Trust::Free::operator()(x509_store_st* store) const {
  X509_STORE_free(store);
}

void Trust::load() {
  if (std::exchange(tried_, true)) return;
  const curl_version_info_data* built = curl_version_info(CURLVERSION_NOW);
  if (built->ssl_version == nullptr || !std::string_view(built->ssl_version).starts_with("OpenSSL")) return;
  std::string file = ca_file_;
  if (file.empty() && built->age >= CURLVERSION_SEVENTH && built->cainfo != nullptr) file = built->cainfo;
  if (file.empty()) return;
  std::unique_ptr<X509_STORE, Free> store(X509_STORE_new());
  const bool read = store && X509_STORE_load_locations(store.get(), file.c_str(), nullptr) == 1;
  // OpenSSL may refuse some of a system's certificates; the others are enough.
  ERR_clear_error();
  if (!read) return;
  // As libcurl sets them (vtls/openssl.c, populate_x509_store).
  X509_STORE_set_flags(store.get(), X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
  store_ = std::move(store);
}

void Trust::give(CURL* transfer) const {
  if (!store_) return;
  curl_easy_setopt(transfer, CURLOPT_CAINFO, static_cast<const char*>(nullptr));
  curl_easy_setopt(transfer, CURLOPT_PROXY_CAINFO, static_cast<const char*>(nullptr));
  curl_easy_setopt(transfer, CURLOPT_SSL_CTX_FUNCTION, &use);
  curl_easy_setopt(transfer, CURLOPT_SSL_CTX_DATA, store_.get());
}

}  // namespace rpcw::rpc
