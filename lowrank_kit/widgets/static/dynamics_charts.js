/* The further pictures of the dynamics player: angles, the product's singular values, and matrices as they are. */

/* Angles between singular vectors now and after the first step: alone at both ends, as a span between them. */
function angleChart(act, t, f) {
  const title = h("h3"), chart = timeChart(act, 210, title, t.axis_step), lines = s("g");
  chart.inside.append(lines);
  function trace(film, layer) {
    const [count, layers, sides, n] = film.shapes.angles, ends = film.facts.ends;
    const y = linear([0, 92], [chart.floor, chart.top]);
    const x = chart.scale(film.last, y, [0, 30, 60, 90].map((v) => [v, `${v}°`]), [], f), xs = Array.from(film.steps, x);
    const paths = [];
    for (let side = 0; side < sides; side++) for (let i = 0; i < n; i++) {
      const ys = Array.from({ length: count }, (_, k) => y((film.angles[((k * layers + layer) * sides + side) * n + i] * 180) / Math.PI));
      const kind = i === n - 1 ? "law" : i < ends[0] ? "up" : "down";
      paths.push(s("path", {
        class: "lrk-many", d: lineThrough(xs, ys), stroke: HUE[kind], "stroke-width": i === n - 1 ? 3 : 1.3, "stroke-dasharray": side ? "4 3" : "" }));
    }
    lines.replaceChildren(...paths);
  }
  function draw(film, at, place, layer) {
    const [, layers, sides, n] = film.shapes.angles, of = (side) => film.angles[((at * layers + layer) * sides + side + 1) * n - 1];
    const rest = Math.max(of(0), of(1)), text = isNaN(rest) ? t.angles_none : fill(t.angles, { layer: layer + 1, angle: degrees(rest, f) });
    write(title, text);
    mark(chart.svg, { "aria-label": text });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}
const degrees = (radians, f) => {
  const found = (radians * 180) / Math.PI;
  return found < 1e-3 ? "< 0.001°" : `${found < 1 ? f.two(found) : f.one(found)}°`;
};

/* The singular values of the product, what they are to become, and how each would be learnt by itself. */
function modesChart(act, t, f) {
  const title = h("h3", {}, t.modes), chart = timeChart(act, 210, title, t.axis_step);
  const lines = s("g"), goals = s("path", { class: "lrk-goals" }), law = s("g");
  chart.inside.append(goals, lines, law);
  function trace(film) {
    const { steps: at, modes, facts } = film, n = film.shapes.modes[1], r = facts.rank;
    const high = Math.max(...facts.strengths, ...Array.from(modes).filter(isFinite).map((v) => Math.min(v, 3 * facts.strengths[0])));
    const y = linear([0, high * 1.06], [chart.floor, chart.top]);
    const x = chart.scale(film.last, y, steps(high, 5).map((v) => [v, f.two(v)]), [], f), xs = Array.from(at, x);
    bundle(lines, xs, modes, n, y, ({ first, count }) => ({ stroke: first < r ? HUE.up : HUE.rest, "stroke-width": count > 2 ? 4 : 1.6 }));
    mark(goals, { d: facts.strengths.map((v) => `M${at1(x(0))},${at1(y(v))}H${at1(x(film.last))}`).join("") });
    const foretold = film.modes_foretold, columns = foretold ? film.shapes.modes_foretold[1] : 0;
    law.replaceChildren(...Array.from({ length: columns }, (_, i) => s("path", {
      class: "lrk-line-now lrk-law", stroke: HUE.law, d: lineThrough(xs, xs.map((_, k) => y(foretold[k * columns + i]))) })));
  }
  function draw(film, at, place) {
    const error = film.recovery[at], text = fill(film.modes_foretold ? t.modes_law : t.modes, { error: f.two(error) });
    write(title, text);
    mark(chart.svg, { "aria-label": text });
    chart.draw(place);
  }
  return { node: chart.node, trace, draw };
}

/* A matrix as colours: blue below zero, orange above, the paper's colour in between. */
function heatMap(name) {
  const canvas = h("canvas", { role: "img" }), node = h("figure", { class: "lrk-heat" }, canvas, h("figcaption", {}, name));
  const pixels = canvas.getContext("2d");
  function draw(values, from, n, high, said) {
    if (canvas.width !== n) canvas.width = canvas.height = n;
    const image = pixels.createImageData(n, n), { data } = image;
    for (let k = 0; k < n * n; k++) {
      const share = Math.max(-1, Math.min(1, values[from + k] / high)) || 0, [r, g, b] = share < 0 ? [0, 114, 178] : [213, 94, 0];
      data.set([r, g, b, 255 * Math.abs(share)], 4 * k);
    }
    pixels.putImageData(image, 0, 0);
    mark(canvas, { "aria-label": said });
  }
  return { node, draw };
}
