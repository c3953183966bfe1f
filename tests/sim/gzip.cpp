#include "sim/gzip.hpp"

#include <zlib.h>

#include <cstdint>
#include <stdexcept>

namespace sim::detail {
namespace {

/// Raw deflate, without gzip's head and trailer.
std::string deflate_raw(std::string_view data, int flush) {
  z_stream z{};
  if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::runtime_error("zlib: deflateInit2 failed");
  }
  std::string out(deflateBound(&z, data.size()) + 16, '\0');
  // zlib's interface predates const.
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, flush);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

void append_u32(std::string& out, std::uint64_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xff);
}

uLong crc_of(std::string_view data) {
  return crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()));
}

constexpr std::string_view kHead("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);

std::string make_bomb() {
  constexpr std::size_t kPiece = 1 << 20;
  constexpr int kPieces = 64;
  const std::string piece(kPiece, ' ');
  // A full flush ends on a byte and forgets what came before, so the same compressed piece can be repeated:
  // milliseconds instead of the second that compressing it all would hold the event loop.
  const std::string packed = deflate_raw(piece, Z_FULL_FLUSH);
  const uLong piece_crc = crc_of(piece);
  uLong crc = crc32(0, nullptr, 0);
  std::string out(kHead);
  for (int i = 0; i < kPieces; ++i) {
    out += packed;
    crc = crc32_combine(crc, piece_crc, static_cast<z_off_t>(kPiece));
  }
  out += deflate_raw({}, Z_FINISH);
  append_u32(out, crc);
  append_u32(out, kPiece * kPieces);
  return out;
}

}  // namespace

std::string gzip(std::string_view data) {
  std::string out(kHead);
  out += deflate_raw(data, Z_FINISH);
  append_u32(out, crc_of(data));
  append_u32(out, data.size());
  return out;
}

const std::string& gzip_bomb() {
  static const std::string bomb = make_bomb();
  return bomb;
}

}  // namespace sim::detail
