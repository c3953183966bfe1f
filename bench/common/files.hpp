#pragma once

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace rpcw::bench {

/// Throws std::runtime_error.
inline void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("can't write " + path.string());
}

}  // namespace rpcw::bench
