/* The pictures of the training player: what changes over the steps, and the spectra at one of them. */

const MODES = ["outputs", "inputs", "height", "width"];
/* The colour of each mode; dashes tell them apart without colours. */
const HUES = ["var(--blue)", "var(--orange)", "#009e73", "#cc79a7"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
/* Smaller singular values than this share of the largest one in the whole training are left outside. */
const VISIBLE = 1e-3;

/* A layer's rank in each of its modes. Its name chooses it for the spectra. */
function rankChart(layer, index, t, f, act, isLast) {
  const name = h("button", { type: "button", class: "lrk-layer", onclick: () => act.layer(layer.name) }, layer.name);
  const modes = layer.matrix ? [0] : layer.limits.map((_, mode) => mode);
  const words = modes.map((mode) => h("span", { class: "lrk-mode" }));
  words.forEach((word, mode) => word.style.setProperty("--hue", HUES[mode]));
  const title = h("div", { class: "lrk-title" }, name, h("small", {}, layer.limits.join(" × ")), ...words);
  const chart = timeChart(act, isLast ? 150 : 136, title, isLast ? t.axis_step : "");
  const lines = modes.map((mode) => s("path", { class: "lrk-line-now", stroke: HUES[mode], "stroke-dasharray": DASHES[mode] }));
  chart.inside.append(...lines);
  const called = (mode) => (layer.matrix ? t.rank : t[MODES[mode]]);

  /* All rows; each holds the ranks of all layers, `columns` a layer. */
  function trace(rows, columns, last, changes) {
    const of = (mode) => rows.map((row) => row.ranks[index * columns + mode]);
    const top = Math.max(...modes.flatMap((mode) => of(mode).filter((v) => !isNaN(v))), 1);
    const y = linear([0, top * 1.06], [chart.floor, chart.top]);
    const x = chart.scale(last, y, steps(top, 4).map((v) => [v, f.whole(v)]), changes, f);
    const xs = rows.map((row) => x(row.step));
    lines.forEach((line, mode) => mark(line, { d: lineThrough(xs, of(mode).map(y), true) }));
  }
  function draw(row, columns, place, chosen) {
    const ranks = modes.map((mode) => row?.ranks[index * columns + mode]);
    words.forEach((word, mode) => write(word, ranks[mode] >= 0 ? `${called(mode)} ${f.whole(ranks[mode])}` : ""));
    mark(name, { "aria-pressed": chosen });
    const said = ranks.map((rank, mode) => `${called(mode)} ${rank >= 0 ? f.whole(rank) : "–"}`).join(", ");
    mark(chart.svg, { "aria-label": `${fill(t.ranks_of, { layer: layer.name })}: ${said}` });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}

/* The mean loss since the entry before. */
function lossChart(t, f, act) {
  const title = h("h3"), chart = timeChart(act, 210, title, "");
  const line = s("path", { class: "lrk-line-now", stroke: HUES[0] });
  chart.inside.append(line);
  function trace(rows, last, changes) {
    const top = Math.max(...rows.map((row) => row.loss).filter((v) => !isNaN(v)), 0) || 1;
    const y = linear([0, top * 1.06], [chart.floor, chart.top]);
    const x = chart.scale(last, y, steps(top, 6).map((v) => [v, f.two(v)]), changes, f);
    mark(line, { d: lineThrough(rows.map((row) => x(row.step)), rows.map((row) => y(row.loss))) });
  }
  function draw(row, place) {
    const text = row && !isNaN(row.loss) ? `${t.loss} ${f.three(row.loss)}` : t.loss;
    write(title, text);
    mark(chart.svg, { "aria-label": text });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}

/* Accuracy on the way: small losses matter most, so that the axis is the square root of what is wrong. */
function accuracyChart(t, f, act) {
  const title = h("h3"), chart = timeChart(act, 240, title, t.axis_step);
  const line = s("path", { class: "lrk-line-now", stroke: HUES[0] }), bars = s("path", { class: "lrk-bars-now" });
  const dots = s("path", { class: "lrk-dots-now" });
  chart.inside.append(bars, line, dots);
  const root = (v) => -Math.sqrt(Math.max(1 - v, 0));
  function trace(rows, last, changes) {
    const known = rows.filter((row) => !isNaN(row.accuracy)), lows = known.map((row) => row.low || row.accuracy);
    const y = linear([root(Math.min(...lows, 0.9)), 0], [chart.floor, chart.top]), height = (v) => y(root(v));
    const marks = [0, 0.5, 0.75, 0.9, 0.95, 0.99, 1].filter((v) => height(v) <= chart.floor);
    const x = chart.scale(last, height, marks.map((v) => [v, f.percent(v)]), changes, f);
    mark(line, { d: lineThrough(known.map((row) => x(row.step)), known.map((row) => height(row.accuracy))) });
    mark(dots, { d: known.map((row) => `M${at1(x(row.step))},${at1(height(row.accuracy))}h.01`).join("") });
    const barred = known.filter((row) => !isNaN(row.low));
    mark(bars, { d: barred.map((row) => `M${at1(x(row.step))},${at1(height(row.low))}V${at1(height(row.high))}`).join("") });
  }
  function draw(text, place) {
    write(title, text);
    mark(chart.svg, { "aria-label": text });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}

/* The singular values of one mode before a truncation: what it keeps, and what it cuts. */
function spectrumChart(mode, t, f) {
  const width = FRAME.width, height = 196, { left, right, top } = FRAME, end = width - right, floor = height - 34;
  const axes = s("g", { class: "lrk-axes" }), cut = s("line", { class: "lrk-cutline", y1: top, y2: floor });
  const gone = s("path", { class: "lrk-dots-cut" });
  const kept = s("path", { class: "lrk-dots-kept", stroke: HUES[mode] });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, axes, gone, kept, cut);
  const title = h("h3"), facts = h("p", { class: "lrk-facts" });
  const node = h("figure", { class: "lrk-chart" }, title, svg, facts);
  let x = null, y = null;

  /* The same axes for the whole training, so that only the values move. */
  function scale(widest, high) {
    const across = linear([Math.log2(0.85), Math.log2(widest + 0.7)], [left, end]);
    const up = linear([Math.log10(high * VISIBLE), Math.log10(high * 1.4)], [floor, top]);
    x = (number) => across(Math.log2(number));
    y = (value) => up(Math.log10(value));
    const rows = ticks(high * VISIBLE, high * 1.4).filter((v) => /^1/.test(v.toExponential())).flatMap((v) => [
      s("line", { x1: left, x2: end, y1: y(v), y2: y(v) }),
      axisText(left - 6, y(v) + 4, f.three(v), "end"),
    ]);
    const doubled = Array.from({ length: Math.floor(Math.log2(widest)) + 1 }, (_, k) => 2 ** k);
    const below = doubled.map((v) => axisText(x(v), floor + 15, f.whole(v)));
    axes.replaceChildren(...rows, ...below, axisText((left + end) / 2, height - 3, t.axis_index));
  }

  function draw(values, rank, name) {
    let whole = 0, lost = 0;
    const paths = ["", ""], place = x(rank + 0.5);
    values.forEach((v, i) => {
      const isCut = i >= rank;
      whole += v * v;
      if (isCut) lost += v * v;
      if (y(v) <= floor) paths[+isCut] += `M${at1(x(i + 1))},${at1(y(v))}h.01`;
    });
    [kept, gone].forEach((dots, i) => mark(dots, { d: paths[i] }));
    mark(cut, { x1: place, x2: place, visibility: values.length ? "visible" : "hidden" });
    const error = f.percent1(whole ? Math.sqrt(lost / whole) : 0);
    const text = values.length ? fill(t.spectrum_facts, { rank, error }) : "";
    write(title, name);
    write(facts, text);
    mark(svg, { "aria-label": `${name}. ${text}` });
  }
  return { node, scale, draw };
}
