#include "observe/gzip.hpp"

#include <zlib.h>

#include <array>
#include <new>

namespace rpcw::observe {

struct Gzip::State {
  z_stream stream{};
};

Gzip::Gzip() : state_(std::make_unique<State>()) {
  constexpr int kGzipFormat = 16;  // zlib.h: added to the window bits
  constexpr int kDefaultMemory = 8;
  // Level 1: metrics shrink to a tenth already, and the loop pays for more.
  if (deflateInit2(&state_->stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzipFormat, kDefaultMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
}

Gzip::~Gzip() {
  deflateEnd(&state_->stream);
}

std::string Gzip::add(std::string_view text, bool end) {
  std::string out;
  std::string in(text);  // zlib's pointer is not to const
  z_stream& z = state_->stream;
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  std::array<char, 8192> piece{};
  do {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    deflate(&z, end ? Z_FINISH : Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - z.avail_out);
  } while (z.avail_out == 0);
  return out;
}

}  // namespace rpcw::observe
