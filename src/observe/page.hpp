#pragma once

#include "observe/http.hpp"

namespace rpcw::observe {

/// The status page with its Content-Security-Policy.
HttpAnswer status_page();

}  // namespace rpcw::observe
