// The chart of a soak as SVG, and what it says of growth.

/** The median of the slopes of all pairs (Theil and Sen): a few odd values do not move it. Per unit of x. */
export function slope(points) {
  const slopes = [];
  for (let i = 0; i < points.length; i++)
    for (let k = i + 1; k < points.length; k++)
      if (points[k][0] > points[i][0]) slopes.push((points[k][1] - points[i][1]) / (points[k][0] - points[i][0]));
  return median(slopes);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** At most `most` of them, evenly spread, the last one included. */
export function thinned(values, most) {
  const step = Math.ceil(values.length / most);
  return values.filter((_, i) => (values.length - 1 - i) % step === 0);
}

const [left, width] = [60, 640];

function panel(top, height, title, points, seconds, unit) {
  const most = Math.max(...points.map((p) => p[1]));
  const tick = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((t) => most / t <= 5) ?? 1000;
  const ceiling = (Math.floor(most / tick) + 1) * tick;
  const x = (t) => (left + (t / seconds) * width).toFixed(1);
  const y = (v) => (top + height - (v / ceiling) * height).toFixed(1);
  const out = [`<text x="12" y="${top - 10}" font-weight="bold">${title}</text>`];
  for (let v = 0; v <= ceiling; v += tick)
    out.push(
      `<line x1="${left}" x2="${left + width}" y1="${y(v)}" y2="${y(v)}" stroke="#dddddd"/>` +
        `<text x="${left - 6}" y="${Number(y(v)) + 4}" text-anchor="end">${v}${unit}</text>`,
    );
  out.push(
    `<polyline fill="none" stroke="#0072b2" stroke-width="1.5" points="${points.map(([t, v]) => `${x(t)},${y(v)}`).join(' ')}"/>`,
  );
  return out;
}

/** `samples`: { t, mib, files }, `marks`: seconds at which HAProxy was reloaded or restarted. */
export function chart(samples, warm_up, marks, subtitle) {
  const seconds = samples.at(-1).t;
  const minutes = seconds / 60;
  const every = [0.25, 0.5, 1, 2, 5, 10].find((m) => minutes / m <= 8) ?? 60;
  const x = (t) => (left + (t / seconds) * width).toFixed(1);
  const bottom = 420;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 470" width="720" height="470" font-family="sans-serif" font-size="12">` +
      `<rect width="100%" height="100%" fill="#ffffff"/>` +
      `<text x="12" y="22" font-size="14" font-weight="bold">Memory and descriptors of the agent while everything around it fails</text>` +
      `<text x="12" y="40">${subtitle}</text>`,
    `<rect x="${left}" y="80" width="${(Number(x(warm_up)) - left).toFixed(1)}" height="${bottom - 80}" fill="#f3f3f3"/>` +
      `<text x="${left + 4}" y="222" fill="#666666">warm-up</text>`,
  ];
  for (const t of marks)
    out.push(`<line x1="${x(t)}" x2="${x(t)}" y1="${bottom - 5}" y2="${bottom}" stroke="#d55e00" stroke-opacity="0.6"/>`);
  out.push(
    ...panel(80, 150, 'Resident memory, MiB', samples.map((s) => [s.t, s.mib]), seconds, ''),
    ...panel(270, 150, 'Open descriptors', samples.map((s) => [s.t, s.files]), seconds, ''),
  );
  for (let m = 0; m <= minutes + 1e-9; m += every)
    out.push(`<text x="${x(m * 60)}" y="${bottom + 18}" text-anchor="middle">${m} min</text>`);
  out.push(`<text x="12" y="${bottom + 40}" fill="#666666">The ticks at the bottom are reloads and restarts of HAProxy.</text>`, '</svg>');
  return `${out.join('\n')}\n`;
}
