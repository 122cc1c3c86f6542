/* Pictures of networks whose spectra are watched: all singular values over time, and losses. */

/* Lines nearer to each other than this many units of the picture are one. */
const CLOSE = 0.15;
/* A logarithmic axis goes so many times beyond what is drawn: there is a round number on it always. */
const ROOM = 10 ** 0.2;
/* What rises, what falls, what rests, and what theory says. */
const HUE = { up: "var(--blue)", down: "#009e73", rest: "var(--cut)", law: "var(--orange)" };

/* Round marks for a logarithmic axis, at most about six of them. */
function decades(low, high) {
  if (high / low < 75) return ticks(low, high);
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9), by = Math.ceil((last - first + 1) / 6) || 1;
  return Array.from({ length: Math.floor(Math.max(last - first, 0) / by) + 1 }, (_, i) => 10 ** (first + i * by));
}
const power = (v, f) => (/^1e/.test(v.toExponential()) ? "" : f.two(v)) || `10${[...String(Math.round(Math.log10(v)))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;

/* The largest of finite numbers, however many they are, but at least this. */
const most = (values, least) => values.reduce((high, v) => (v > high && isFinite(v) ? v : high), least);

/* Many lines over time (values[t * n + i]) in a chart; those that lie on the one before are left out, and counted.
   Where a layer has fewer values than others, there is no number from the start on. */
function bundle(group, xs, values, n, y, look) {
  const lines = [];
  let before = null;
  for (let i = 0; i < n && !isNaN(values[i]); i++) {
    const ys = xs.map((_, t) => y(values[t * n + i]));
    const same = before && ys.every((v, t) => !(Math.abs(v - before.ys[t]) > CLOSE));
    if (same) before.count += 1;
    else lines.push((before = { ys, count: 1, first: i }));
  }
  group.replaceChildren(...lines.map((line) => s("path", { class: "lrk-many", d: lineThrough(xs, line.ys), ...look(line) })));
  return lines;
}

/* The singular values of one layer over time, the `ends` of them apart, with the recursion for those that rest. */
function layerChart(act, index, text, t, f) {
  const choose = () => act.layer(index), name = act.layer ? h("button", { type: "button", class: "lrk-layer", onclick: choose }, text) : h("b", { class: "lrk-called" }, text);
  const facts = h("span", { class: "lrk-mode" }), title = h("div", { class: "lrk-title" }, name, facts);
  const chart = timeChart(act, 210, title, t.axis_step), lines = s("g"), law = s("path", { class: "lrk-line-now lrk-law", stroke: HUE.law });
  chart.inside.append(lines, law);

  function trace(film, high, [top, bottom]) {
    const { steps: at, values, resting } = film, [count, layers, n] = film.shapes.values;
    const y = linear([0, high * 1.04], [chart.floor, chart.top]);
    const x = chart.scale(film.last, y, steps(high, 5).map((v) => [v, f.two(v)]), [], f);
    const own = Float64Array.from({ length: count * n }, (_, k) => values[(Math.floor(k / n) * layers + index) * n + (k % n)]);
    const xs = Array.from(at, x), known = own.subarray(0, n).findIndex(isNaN), there = known < 0 ? n : known;
    bundle(lines, xs, own, n, y, ({ first, count: many }) => {
      const kind = first < top ? "up" : first >= there - bottom ? "down" : "rest";
      return { stroke: HUE[kind], "stroke-width": many > 2 ? 5 : 1.4, opacity: kind === "rest" && many < 3 ? 0.7 : 1 };
    });
    const foretold = film.law ? Array.from(at, (_, k) => y(resting[k * layers + index])) : [];
    mark(law, { d: film.law ? lineThrough(xs, foretold) : "" });
  }
  function draw(said, place, chosen) {
    write(facts, said);
    if (act.layer) mark(name, { "aria-pressed": chosen });
    mark(chart.svg, { "aria-label": `${fill(t.values_of, { layer: text })} ${said}` });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}

/* Some series on a logarithmic axis. `series` are [name of the array, its stroke, its dashes]. */
function logChart(act, t, f, series, said) {
  const title = h("h3"), chart = timeChart(act, 210, title, t.axis_step);
  const lines = series.map(([, stroke, dashes]) => s("path", { class: "lrk-line-now", stroke, "stroke-dasharray": dashes }));
  chart.inside.append(...lines);
  function trace(film) {
    const all = series.flatMap(([name]) => Array.from(film[name] ?? [])).filter((v) => v > 0 && isFinite(v));
    const high = Math.max(...all, 1e-300), low = Math.max(Math.min(...all, high), high * 1e-14);
    const up = linear([Math.log10(low / ROOM), Math.log10(high * ROOM)], [chart.floor, chart.top]), y = (v) => up(Math.log10(Math.max(v, low)));
    const x = chart.scale(film.last, y, decades(low / ROOM, high * ROOM).map((v) => [v, power(v, f)]), [], f), xs = Array.from(film.steps, x);
    series.forEach(([name], i) => mark(lines[i], { d: film[name] ? lineThrough(xs, Array.from(film[name], y)) : "" }));
  }
  function draw(film, at, place) {
    const text = said(film, at);
    write(title, text);
    mark(chart.svg, { "aria-label": text });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}
