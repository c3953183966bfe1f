#include "authority.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

namespace rpcw::test {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "rpcw-rpc-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(std::string_view name, std::string_view content) const {
  std::ofstream(file(name)) << content;
  return file(name);
}

struct Authority::Keys {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  ~Keys() {
    X509_free(cert);
    EVP_PKEY_free(key);
  }
};

namespace {

void set_name(X509_NAME* name, const std::string& text) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
}

void add_extension(X509* cert, int what, const std::string& text) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, text.c_str());
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

void write_pem(const std::string& path, X509* cert, EVP_PKEY* key) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) throw std::system_error(errno, std::generic_category(), path);
  PEM_write_X509(file, cert);
  if (key != nullptr) PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
}

}  // namespace

Authority::Authority(const TemporaryFolder& folder) : folder_(folder), keys_(std::make_unique<Keys>()) {
  X509_set_version(keys_->cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(keys_->cert), serial_);
  X509_gmtime_adj(X509_getm_notBefore(keys_->cert), -86400);
  X509_gmtime_adj(X509_getm_notAfter(keys_->cert), 86400);
  X509_set_pubkey(keys_->cert, keys_->key);
  set_name(X509_get_subject_name(keys_->cert), "test authority");
  X509_set_issuer_name(keys_->cert, X509_get_subject_name(keys_->cert));
  add_extension(keys_->cert, NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(keys_->cert, keys_->key, EVP_sha256());
  ca_file_ = folder_.file("ca.pem");
  write_pem(ca_file_, keys_->cert, nullptr);
}

Authority::~Authority() = default;

std::string Authority::issue(const std::string& name, Wishes wishes) {
  const Keys keys;
  X509_set_version(keys.cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(keys.cert), ++serial_);
  X509_gmtime_adj(X509_getm_notBefore(keys.cert), -7200);
  X509_gmtime_adj(X509_getm_notAfter(keys.cert), wishes.expired ? -3600 : 86400);
  X509_set_pubkey(keys.cert, keys.key);
  set_name(X509_get_subject_name(keys.cert), name);
  X509_set_issuer_name(keys.cert, X509_get_subject_name(wishes.self_signed ? keys.cert : keys_->cert));
  const bool address =
      name.find_first_not_of("0123456789.") == std::string::npos || name.find(':') != std::string::npos;
  add_extension(keys.cert, NID_subject_alt_name, (address ? "IP:" : "DNS:") + name);
  X509_sign(keys.cert, wishes.self_signed ? keys.key : keys_->key, EVP_sha256());
  const std::string path = folder_.file(fmt::format("{}.pem", serial_));
  write_pem(path, keys.cert, keys.key);
  return path;
}

}  // namespace rpcw::test
