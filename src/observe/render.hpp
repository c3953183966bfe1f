#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "weighter/report.hpp"

namespace rpcw::observe {

/// How a table may look.
struct TableStyle {
  /// Columns to fill, at least 60.
  unsigned width = 80;
  bool utf8 = true;
  bool colour = false;
};

/// For people. Ends with a newline.
std::string render_table(const Report& report, const TableStyle& style);
/// The document of `GET /api/v1/status`: schema 1, one JSON object and a newline. What is not known is null.
std::string render_json(const Report& report);
/// The same, handed over part by part: that of 10,000 servers has 10 MB.
void write_json(const Report& report, const std::function<void(std::string_view)>& write);
/// One line a server after a header line (RFC 4180, LF line ends). What is not known is empty.
std::string render_csv(const Report& report);

}  // namespace rpcw::observe
