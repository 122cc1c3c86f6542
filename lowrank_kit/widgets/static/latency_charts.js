/* A layer's time against its rank, its place under the roof of a device, and all layers of a network as strips. */

const UNITS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
const unitOf = (seconds) => UNITS.find(([size]) => seconds >= size) ?? UNITS[2];
const logarithmic = ([from, to], range) => {
  const scale = linear([Math.log10(from), Math.log10(to)], range);
  return (value) => scale(Math.log10(value));
};
const dot = (x, y) => `M${x.toFixed(1)},${y.toFixed(1)}h.01`;
const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

/* A picture of one device: axes, what was foretold, recorded and bounds it, and where the chosen rank stands. */
function timeSheet(title, marks) {
  const axes = s("g", { class: "lrk-axes" }), heading = h("h3", {}, title);
  const svg = sheet({}, axes, ...marks);
  return { svg, axes, heading, node: h("figure", { class: "lrk-chart" }, heading, svg) };
}

function staircaseChart(t, f, onRank) {
  const { left, right, top, floor } = frame(14, 14);
  const bound = s("path", { class: "lrk-bound" }), foretold = s("path", { class: "lrk-foretold" });
  const spread = s("path", { class: "lrk-spread" }), timed = s("path", { class: "lrk-timed" });
  const dense = s("line", { class: "lrk-dense-line", x1: left, x2: right }), denseText = axisText(left + 6, 0, "", "start");
  const said = s("line", { class: "lrk-foretold lrk-dense-foretold", x1: left, x2: right });
  const rivals = s("g", { class: "lrk-rivals" }), now = s("circle", { class: "lrk-now", r: 6 });
  const cursor = s("line", { class: "lrk-cutline", y1: top, y2: floor });
  const { svg, axes, node } = timeSheet(t.staircase, [bound, said, dense, denseText, cursor, foretold, spread, timed, rivals, now]);
  let place = null, x = null;
  svg.classList.add("lrk-drag");
  draggable(svg, (at) => onRank(at && rankAt(at[0], [left, right], place.full[0])));

  function choose(next) {
    place = next;
    const { ranks, columns, full, foretold: times, bound: least, dense: whole, rivals: others } = place;
    const level = whole.timed ? whole.timed[0] : whole.foretold, rank = (i) => ranks[i * columns];
    const beside = others.filter(([name, share]) => share === 1 || name === "narrow");
    const high = 1.12 * Math.max(level, whole.foretold, ...times, ...place.highs, ...beside.map(([, , time]) => time));
    const [size, unit] = unitOf(level), y = linear([0, high], [floor, top]);
    x = linear([0, full[0]], [left, right]);
    place.y = y;
    mark(foretold, { d: line(Array.from(times, (v, i) => [x(rank(i)), y(v)])) });
    mark(bound, { d: line(Array.from(least, (v, i) => [x(rank(i)), y(v)])) });
    mark(timed, { d: Array.from(place.timed, (i, k) => dot(x(rank(i)), y(place.medians[k]))).join("") });
    mark(spread, { d: Array.from(place.timed, (i, k) =>
      `M${x(rank(i)).toFixed(1)},${y(place.lows[k]).toFixed(1)}V${y(Math.min(place.highs[k], high)).toFixed(1)}`).join("") });
    mark(dense, { y1: y(level), y2: y(level) });
    mark(said, { y1: y(whole.foretold), y2: y(whole.foretold) });
    mark(denseText, { y: y(level) - 5 });
    write(denseText, t.legend_dense);
    rivals.replaceChildren(...beside.flatMap(([name, share, time]) => rivalMarks(name, share, y(time))));
    const steps = evenly(high / size).map((v) => [
      s("line", { x1: left, x2: right, y1: y(v * size), y2: y(v * size) }), axisText(left - 6, y(v * size) + 4, f.three(v), "end"),
    ]);
    const below = quarters(full[0]).map((r) => axisText(x(r), floor + 16, f.whole(r)));
    axes.replaceChildren(...steps.flat(), ...below, axisText(left, 9, fill(t.axis_time, { unit }), "start"),
      axisText((left + right) / 2, SIZE.height - 4, columns > 1 ? t.axis_outputs : t.axis_rank));
    mark(svg, { "aria-label": `${t.staircase}, ${place.name}` });
  }

  /* A dense layer of fewer channels stands at the rank that does as many multiply-adds; another dtype at the edge. */
  function rivalMarks(name, share, at) {
    if (name === "narrow") {
      const where = x(place.rankOf(share));
      return [s("rect", { class: "lrk-narrow", x: where - 4.5, y: at - 4.5, width: 9, height: 9 })];
    }
    return [s("line", { x1: right - 34, x2: right, y1: at, y2: at }), axisText(right, at - 4, name, "end")];
  }

  function draw(index) {
    const at = x(place.ranks[index * place.columns]);
    mark(cursor, { x1: at, x2: at });
    mark(now, { cx: at, cy: place.y(place.foretold[index]) });
  }
  return { node, choose, draw };
}

function rooflineChart(t, f) {
  const { left, right, top, floor } = frame(14, 14);
  const roof = s("path", { class: "lrk-roof" }), foretold = s("path", { class: "lrk-foretold" });
  const timed = s("path", { class: "lrk-timed" }), dense = s("path", { class: "lrk-dense-mark" });
  const denseText = axisText(0, 0, "", "end"), now = s("circle", { class: "lrk-now", r: 6 });
  const { svg, axes, node } = timeSheet(t.roofline, [roof, foretold, timed, dense, denseText, now]);
  let place = null, at = null;

  function choose(next, { macs_per_s, rates, itemsize }) {
    place = next;
    const { macs, moved, foretold: times, dense: whole } = place;
    const intensity = Array.from(macs, (v, i) => v / (itemsize * moved[i])), rate = Array.from(macs, (v, i) => v / times[i] / 1e9);
    const own = [whole.macs / (itemsize * whole.moved), whole.macs / (whole.timed ? whole.timed[0] : whole.foretold) / 1e9];
    const slope = bytesRate(rates, itemsize * whole.moved) / 1e9, most = macs_per_s / 1e9;
    const ends = [Math.min(...intensity, own[0], most / slope) / 2, 2 * Math.max(...intensity, own[0], most / slope)];
    const tall = [Math.min(...rate, own[1]) / 2, 1.7 * Math.max(most, own[1], ...rate)];
    const x = logarithmic(ends, [left, right]), y = logarithmic(tall, [floor, top]);
    const from = Math.max(ends[0], tall[0] / slope);
    mark(roof, { d: line([[x(from), y(slope * from)], [x(most / slope), y(most)], [right, y(most)]]) });
    at = (i) => [x(intensity[i]), y(rate[i])];
    mark(foretold, { d: line(intensity.map((_, i) => at(i))) });
    mark(timed, { d: Array.from(place.timed, (i, k) => dot(x(intensity[i]), y(macs[i] / place.medians[k] / 1e9))).join("") });
    const [cx, cy] = [x(own[0]), y(own[1])];
    mark(dense, { d: `M${cx},${cy - 6}l6,6l-6,6l-6,-6z` });
    mark(denseText, { x: cx - 9, y: cy - 7 });
    write(denseText, t.legend_dense);
    const rows = ticks(...tall).map((v) => [s("line", { x1: left, x2: right, y1: y(v), y2: y(v) }), axisText(left - 6, y(v) + 4, f.three(v), "end")]);
    const below = ticks(...ends).map((v) => axisText(x(v), floor + 16, f.three(v)));
    axes.replaceChildren(...rows.flat(), ...below, axisText(left, 9, t.axis_rate, "start"),
      axisText((left + right) / 2, SIZE.height - 4, t.axis_intensity));
    mark(svg, { "aria-label": `${t.roofline}, ${place.name}` });
  }

  function draw(index) {
    const [cx, cy] = at(index);
    mark(now, { cx, cy });
  }
  return { node, choose, draw };
}

/* The fastest rate at which so many bytes, or more, were copied. */
function bytesRate(rates, moved) {
  const found = rates.filter(([size]) => size >= moved).map(([, rate]) => rate);
  return found.length ? Math.max(...found) : rates.at(-1)[1];
}

/* About four round numbers from zero on. */
function evenly(high) {
  const rough = high / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((v) => v * power >= rough);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
}

/* Two strips of time, dense and cut, in which every layer takes its part; a press chooses a layer. */
function stripChart(t, f, device, onLayer) {
  const bars = ["dense", "cut"].map((kind) => ({ kind, text: h("p", { class: "lrk-facts" }), bar: h("div", { class: "lrk-strip" }) }));
  for (const one of bars) {
    one.cells = device.layers.map((l, i) => h("button", { type: "button", onclick: () => onLayer(l.name), tabindex: one.kind === "dense" ? -1 : 0 }));
    one.bar.append(...one.cells);
  }
  const key = VERDICTS.map((name) => h("span", { class: "lrk-key", "data-verdict": name }, t[name]));
  const node = h("section", { class: "lrk-strips" }, h("h3", {}, t.strip),
    ...bars.flatMap(({ text, bar }) => [text, bar]), h("p", { class: "lrk-facts" }, ...key));

  function draw(share, chosen) {
    const dense = device.layers.map((l) => l.count * l.dense.foretold), at = device.layers.map((l) => l.at(share));
    const cut = device.layers.map((l, i) => l.count * l.foretold[at[i]]);
    const total = (parts) => parts.reduce((sum, v) => sum + v, 0), sums = [total(dense), total(cut)], room = Math.max(...sums);
    const macs = total(device.layers.map((l) => l.count * l.dense.macs)) / total(device.layers.map((l, i) => l.count * l.macs[at[i]]));
    [dense, cut].forEach((parts, k) => {
      bars[k].cells.forEach((cell, i) => {
        const l = device.layers[i], speed = dense[i] / cut[i], verdict = VERDICTS[l.verdicts[at[i]]];
        const told = fill(t.cell, { layer: nameOf(l, t), verdict: t[verdict], pace: pace(speed, t, f) });
        cell.style.width = `${(100 * parts[i]) / room}%`;
        mark(cell, { "aria-label": told, title: told, "data-verdict": k ? verdict : "", "aria-pressed": l.name === chosen });
        write(cell, k && parts[i] / room > 0.028 ? `${f.two(speed)}×` : "");
      });
    });
    const time = (seconds) => timeText(seconds, f);
    write(bars[0].text, fill(t.strip_dense, { time: time(sums[0]) }));
    write(bars[1].text, fill(t.strip_cut, { share: f.percent(share), time: time(sums[1]), pace: pace(sums[0] / sums[1], t, f), macs: fewer(macs, t, f) }));
  }
  return { node, draw };
}

const timeText = (seconds, f) => {
  const [size, unit] = unitOf(seconds);
  return `${f.three(seconds / size)} ${unit}`;
};
const pace = (speed, t, f) =>
  Math.abs(speed - 1) < 0.05 ? t.same : speed > 1 ? fill(t.faster_by, { x: f.two(speed) }) : fill(t.slower_by, { x: f.two(1 / speed) });
const fewer = (saved, t, f) =>
  Math.abs(saved - 1) < 0.005 ? t.as_many : saved > 1 ? fill(t.fewer, { x: f.two(saved) }) : fill(t.more, { x: f.two(1 / saved) });
const nameOf = (l, t) => (l.count > 1 ? fill(t.times_layer, { layer: l.name, count: l.count }) : l.name);
