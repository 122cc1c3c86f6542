/* The pictures that boards over ranks share: a spectrum with its cut, and what every setting tried cost and kept. */

/* Singular values on a log axis, the cut, and what it keeps, told by `facts`. A press or drag on it gives the rank, and
   null where it ends. */
function spectrumChart(t, f, onRank, facts) {
  const { width, height } = SIZE, { left, right, top, floor } = frame(12);
  const id = `lrk-${Math.random().toString(36).slice(2)}`;
  const keep = s("rect", { x: 0, y: 0, width: 0, height });
  const axes = s("g", { class: "lrk-axes" });
  const all = s("path", { class: "lrk-cut" });
  const kept = s("path", { class: "lrk-kept", "clip-path": `url(#${id})` });
  const even = s("line", { class: "lrk-even", y1: top, y2: floor });
  const evenText = axisText(0, top + 10, "", "end");
  const cut = s("line", { class: "lrk-cutline", y1: top, y2: floor });
  const svg = sheet({}, s("defs", {}, s("clipPath", { id }, keep)), axes, even, evenText, all, kept, cut);
  const title = h("h3"), told = h("p", { class: "lrk-facts" });
  let mode = null, x = null;
  draggable(svg, (place) => onRank(place && rankAt(place[0], [left, right], mode.full)));

  /* A layer's matrix, or one mode of its tensor. */
  function choose(next, name) {
    const { values, full } = mode = next;
    const largest = values[0] || 1;
    const smallest = values.filter((v) => v > largest * 1e-4).at(-1) ?? largest;
    const high = largest * 1.15, low = Math.min(smallest * 0.85, high / 12);
    x = linear([0, full], [left, right]);
    const y = linear([Math.log10(low), Math.log10(high)], [floor, top]);
    const level = (v) => y(Math.log10(Math.max(v, low)));
    const path = [...values].map((v, i) => `M${x(i + 0.5).toFixed(1)},${level(v).toFixed(1)}h.01`).join("");
    const size = Math.max(2.2, Math.min(7, (0.62 * (right - left)) / full));
    for (const dots of [all, kept]) mark(dots, { d: path, "stroke-width": size });
    const lines = ticks(low, high).map((v) => [
      s("line", { x1: left, x2: right, y1: level(v), y2: level(v) }),
      axisText(left - 6, level(v) + 4, f.three(v), "end"),
    ]);
    const ranks = quarters(full).map((r) => axisText(x(r - 0.5), floor + 16, String(r)));
    axes.replaceChildren(...lines.flat(), ...ranks, axisText((left + right) / 2, height - 4, t.axis_rank));
    mark(svg, { "aria-label": name });
    write(title, name);
  }

  /* Beyond break-even the layer stays dense: nothing is cut. */
  function draw(rank, breakEven, isDense = rank > breakEven) {
    const at = isDense ? right : x(rank), { full, squares } = mode;
    mark(keep, { width: isDense ? width : at });
    mark(cut, { x1: at, x2: at, visibility: isDense ? "hidden" : "visible" });
    mark(even, { x1: x(breakEven), x2: x(breakEven) });
    mark(evenText, { x: Math.max(x(breakEven) - 5, left + 90) });
    write(evenText, fill(t.break_even, { rank: breakEven }));
    const total = squares[full - 1];
    write(told, facts(isDense || total === 0 ? 1 : squares[rank - 1] / total, rank, isDense).join("  ·  "));
  }
  return { node: h("figure", { class: "lrk-chart lrk-spectrum" }, title, svg, told), choose, draw };
}

/* Every setting tried: the size kept against the change in accuracy on the validation examples, and the best so far. */
function tradeChart(t, f) {
  const { left, right, top, floor } = frame(24, 22);
  /* Small losses matter most: the axis is a signed square root of points. */
  const root = (fraction) => Math.sign(fraction) * Math.sqrt(Math.abs(fraction));
  const x = linear([0, 1], [left, right]);
  const y = linear([root(0.03), root(-0.9)], [top, floor]);
  const at = (change) => y(root(Math.min(Math.max(change, -0.9), 0.03)));
  const grid = [0, -0.01, -0.05, -0.1, -0.25, -0.5, -0.9].flatMap((v) => [
    s("line", { x1: left, x2: right, y1: at(v), y2: at(v), class: v ? "" : "lrk-zero" }),
    axisText(left - 6, at(v) + 4, f.wholePoints(v), "end"),
  ]);
  const shares = [0, 0.25, 0.5, 0.75, 1].map((v) => axisText(x(v), floor + 16, f.percent(v)));
  const name = axisText((left + right) / 2, SIZE.height - 4, "");
  const side = axisText(left, 11, t.axis_change, "start");
  const front = s("path", { class: "lrk-front" });
  const dots = s("g", { class: "lrk-dots" });
  const bar = s("line", { class: "lrk-bar" });
  const now = s("circle", { class: "lrk-now", r: 6 });
  const svg = sheet({ "aria-label": t.accuracy_size },
    s("g", { class: "lrk-axes" }, ...grid, ...shares, name, side), front, dots, bar, now);
  const key = (kind, text) => h("span", { class: `lrk-key lrk-key-${kind}` }, text);
  const legend = [key("now", t.legend_now), key("dot", t.legend_measured), key("front", t.legend_pareto)];
  const node = h("figure", { class: "lrk-chart" }, h("h3", {}, t.accuracy_size), svg, h("p", { class: "lrk-facts" }, ...legend));

  function remember(points, cost) {
    write(name, t[`axis_${cost}`]);
    const all = [{ kept: 1, change: 0 }, ...points].sort((a, b) => a.kept - b.kept || b.change - a.change);
    let best = -Infinity, path = "";
    for (const p of all) {
      if (p.change <= best) continue;
      path += path ? `H${x(p.kept)}V${at(p.change)}` : `M${x(p.kept)},${at(p.change)}`;
      best = p.change;
    }
    mark(front, { d: path + `H${x(1)}` });
    dots.replaceChildren(...all.map((p) => s("circle", { cx: x(p.kept), cy: at(p.change), r: 3.4 })));
  }

  function draw(kept, change, error) {
    mark(now, { cx: x(kept), cy: at(change) });
    mark(bar, { x1: x(kept), x2: x(kept), y1: at(change - (error ?? 0)), y2: at(change + (error ?? 0)) });
  }
  return { node, remember, draw };
}
