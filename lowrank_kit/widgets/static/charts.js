/* The pictures of the rank board: a layer's spectrum with its cut, and what every setting tried cost and kept. */

const SIZE = { width: 440, height: 250 };

function axisText(x, y, text, anchor = "middle") {
  return s("text", { x, y, "text-anchor": anchor }, text);
}

/* Singular values of one layer on a log axis, the cut, and what it keeps. A press or drag on it sets the rank. */
function spectrumChart(t, f, onRank) {
  const { width, height } = SIZE, box = { left: 42, right: 16, top: 12, bottom: 38 };
  const right = width - box.right, floor = height - box.bottom;
  const id = `lrk-${Math.random().toString(36).slice(2)}`;
  const keep = s("rect", { x: 0, y: 0, width: 0, height });
  const axes = s("g", { class: "lrk-axes" });
  const all = s("path", { class: "lrk-cut" });
  const kept = s("path", { class: "lrk-kept", "clip-path": `url(#${id})` });
  const even = s("line", { class: "lrk-even", y1: box.top, y2: floor });
  const evenText = axisText(0, box.top + 10, "", "end");
  const cut = s("line", { class: "lrk-cutline", y1: box.top, y2: floor });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" },
    s("defs", {}, s("clipPath", { id }, keep)), axes, even, evenText, all, kept, cut);
  const title = h("h3"), facts = h("p", { class: "lrk-facts" });
  let layer = null, x = null;

  const rankAt = (event) => {
    const frame = svg.getBoundingClientRect();
    const at = ((event.clientX - frame.left) / frame.width) * width;
    return Math.min(Math.max(Math.round(((at - box.left) / (right - box.left)) * layer.full), 1), layer.full);
  };
  const held = (event) => svg.hasPointerCapture(event.pointerId);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    svg.setPointerCapture(event.pointerId);
    onRank(rankAt(event), false);
  });
  svg.addEventListener("pointermove", (event) => { if (held(event)) onRank(rankAt(event), false); });
  svg.addEventListener("pointerup", (event) => { if (held(event)) onRank(rankAt(event), true); });
  svg.addEventListener("pointercancel", () => onRank(null, true));

  function choose(next) {
    layer = next;
    const top = layer.values[0] || 1;
    const smallest = layer.values.filter((v) => v > top * 1e-4).at(-1) ?? top;
    const high = top * 1.15, low = Math.min(smallest * 0.85, high / 12);
    x = linear([0, layer.full], [box.left, right]);
    const y = linear([Math.log10(low), Math.log10(high)], [floor, box.top]);
    const level = (v) => y(Math.log10(Math.max(v, low)));
    const path = [...layer.values].map((v, i) => `M${x(i + 0.5).toFixed(1)},${level(v).toFixed(1)}h.01`).join("");
    const size = Math.max(2.2, Math.min(7, (0.62 * (right - box.left)) / layer.full));
    for (const dots of [all, kept]) mark(dots, { d: path, "stroke-width": size });
    const lines = ticks(low, high).map((v) => [
      s("line", { x1: box.left, x2: right, y1: level(v), y2: level(v) }),
      axisText(box.left - 6, level(v) + 4, f.three(v), "end"),
    ]);
    const steps = new Set([1, ...[0.25, 0.5, 0.75, 1].map((q) => Math.max(Math.round(q * layer.full), 1))]);
    const ranks = [...steps].map((r) => axisText(x(r - 0.5), floor + 16, String(r)));
    axes.replaceChildren(...lines.flat(), ...ranks, axisText((box.left + right) / 2, height - 4, t.axis_rank));
    mark(even, { x1: x(layer.breakEven), x2: x(layer.breakEven) });
    mark(evenText, { x: Math.max(x(layer.breakEven) - 5, box.left + 90) });
    evenText.textContent = fill(t.break_even, { rank: layer.breakEven });
    mark(svg, { "aria-label": fill(t.spectrum, { layer: layer.name }) });
    write(title, fill(t.spectrum, { layer: layer.name }));
  }

  /* Beyond break-even the layer stays dense: nothing is cut. */
  function draw(rank) {
    const dense = rank > layer.breakEven;
    const at = dense ? right : x(rank);
    mark(keep, { width: dense ? width : at });
    mark(cut, { x1: at, x2: at, visibility: dense ? "hidden" : "visible" });
    const total = layer.squares[layer.full - 1];
    const share = dense || total === 0 ? 1 : layer.squares[rank - 1] / total;
    const facing = [
      fill(t.rank_of, { rank, full: layer.full }),
      ...(dense && rank < layer.full ? [fill(t.stays_dense, { rank })] : []),
      fill(t.energy, { energy: f.percent1(share) }),
      fill(t.error, { error: f.percent1(Math.sqrt(Math.max(1 - share, 0))) }),
    ];
    write(facts, facing.join("  ·  "));
  }
  return { node: h("figure", { class: "lrk-chart lrk-spectrum" }, title, svg, facts), choose, draw };
}

/* Every setting tried: the size kept against the change in accuracy on the validation examples, and the best so far. */
function tradeChart(t, f) {
  const { width, height } = SIZE, box = { left: 42, right: 22, top: 24, bottom: 38 };
  const right = width - box.right, floor = height - box.bottom;
  /* Small losses matter most: the axis is a signed square root of points. */
  const root = (fraction) => Math.sign(fraction) * Math.sqrt(Math.abs(fraction));
  const x = linear([0, 1], [box.left, right]);
  const y = linear([root(0.03), root(-0.9)], [box.top, floor]);
  const at = (change) => y(root(Math.min(Math.max(change, -0.9), 0.03)));
  const grid = [0, -0.01, -0.05, -0.1, -0.25, -0.5, -0.9].flatMap((v) => [
    s("line", { x1: box.left, x2: right, y1: at(v), y2: at(v), class: v ? "" : "lrk-zero" }),
    axisText(box.left - 6, at(v) + 4, f.wholePoints(v), "end"),
  ]);
  const shares = [0, 0.25, 0.5, 0.75, 1].map((v) => axisText(x(v), floor + 16, f.percent(v)));
  const name = axisText((box.left + right) / 2, height - 4, "");
  const side = axisText(box.left, 11, t.axis_change, "start");
  const front = s("path", { class: "lrk-front" });
  const dots = s("g", { class: "lrk-dots" });
  const bar = s("line", { class: "lrk-bar" });
  const now = s("circle", { class: "lrk-now", r: 6 });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t.accuracy_size },
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
