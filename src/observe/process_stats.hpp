#pragma once

namespace rpcw::observe {

/// Of this process, as every Prometheus client library shows them. 0: not known.
struct ProcessStats {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double open_fds = 0;
  double max_fds = 0;
  /// Since 1970.
  double start_seconds = 0;
};

ProcessStats process_stats();

}  // namespace rpcw::observe
