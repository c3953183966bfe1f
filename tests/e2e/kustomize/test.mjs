// Run by run.sh: REPOSITORY CACHE WORK HAPROXY RPC-WEIGHTER
import { finish } from '../common.mjs';

// One after the other: imports that wait would be run at the same time.
for (const part of ['./base.mjs', './overlays.mjs', './dashboard.mjs']) await import(part);

finish();
