#pragma once

#include <string>

#include "cli/cli.hpp"
#include "config/chain.hpp"
#include "rpc/http_client.hpp"

namespace rpcw::cli {

/// All known chains; the table is grouped by family.
std::string render_chains(Format format);
/// One, in table and JSON with the requests of its checks as lines for a shell.
std::string render_chain(const Chain& chain, Format format);

/// A line that sends the request to the address in the shell's variable URL.
std::string curl_line(const rpc::HttpRequest& request);

/// The generated parts of docs/chains.md, as Markdown.
std::string families_page();
std::string chains_page();

}  // namespace rpcw::cli
