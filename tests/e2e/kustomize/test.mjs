// Run by run.sh: REPOSITORY CACHE WORK HAPROXY RPC-WEIGHTER
import { count } from './harness.mjs';

// One after the other: imports that wait would be run at the same time.
for (const part of ['./base.mjs', './overlays.mjs']) await import(part);

console.log(`${count.passed} passed, ${count.failed} failed`);
process.exit(count.failed === 0 ? 0 : 1); // rather than wait for timers that lost their race
