/* The Tucker board: two sliders a convolution, the spectra of both modes of the chosen one, and its error at all pairs. */

const SIDES = ["outputs", "inputs"];
const LEVELS = [0.9, 0.7, 0.5, 0.3, 0.1];

function tuckerParts({ t, f, act, tables }) {
  let chosen = null;
  const spectra = SIDES.map((_, side) =>
    spectrumChart(t, f, (rank) => (rank ? act.ranks(chosen.column + side, rank) : act.settle()), (share, rank) => [
      fill(t.rank_of, { rank, full: chosen.fulls[side] }), fill(t.energy, { energy: f.percent1(share) }),
    ]));
  const map = errorMap(t, f, (pair) => (pair ? act.ranks(chosen.column, ...pair) : act.settle()));
  const estimate = () => act.set(
    tables.layers.flatMap((l) => (l.is_head ? l.fulls : l.estimated)), { rule: "vbmf", budget: null, cost: null });
  const whole = Object.keys(tables.whole), held = Object.values(tables.whole).reduce((a, b) => a + b, 0);
  const rest = fill(t.whole, { names: whole.join(t.comma), share: f.percent(held / tables.n_params) });

  return {
    rows: tables.layers.map((layer, i) => pairRow(layer, i, t, f, act)),
    tools: [h("div", { class: "lrk-rule" }, h("span"), button(t.estimate, estimate, t.estimate_why))],
    aside: whole.length ? [h("p", { class: "lrk-whole", title: rest }, rest)] : [],
    charts: [...spectra.map(({ node }) => node), map.node],
    choose: (layer) => {
      chosen = layer;
      spectra.forEach((chart, side) => chart.choose(layer.modes[side], fill(t[SIDES[side]], { layer: layer.name })));
      map.choose(layer);
    },
    draw: (ranks, finding) => {
      const isDense = !chosen.saves(ranks);
      spectra.forEach((chart, side) => chart.draw(ranks[side], Math.max(chosen.even[side](ranks[1 - side]), 0), isDense));
      map.draw(ranks, finding?.errors?.[chosen.name]);
    },
  };
}

function pairRow(layer, index, t, f, act) {
  const { name, column } = layer;
  const sliders = SIDES.map((side, i) => rankSlider({
    name: `${name}: ${t[`${side}_short`]}`, label: fill(t[`rank_${side}`], { layer: name }), key: `${name} ${side}`,
    full: layer.fulls[i], column: column + i, index,
  }, t, act));
  const share = h("span", { class: "lrk-share" });
  const lines = sliders.flatMap(({ range, typed }, i) => [h("small", {}, t[`${SIDES[i]}_short`]), range, typed]);
  const node = h("div", { class: "lrk-row lrk-pair", onpointerdown: () => act.choose(index) },
    layerName(layer, t, layer.shape.join(" × ")), ...lines, share);

  function draw(ranks) {
    const isDense = !layer.saves(ranks);
    const text = isDense ? t.dense : f.percent(1 - layer.saved(ranks, "params") / layer.size);
    sliders.forEach((slider, i) => slider.draw(ranks[i], Math.max(layer.even[i](ranks[1 - i]), 0), text));
    if (node.dataset.dense !== String(isDense)) node.dataset.dense = isDense;
    write(share, text);
  }
  return { node, draw };
}

/* The relative error at every pair of ranks in bands, a line beyond which pairs save nothing, and the present pair. A
   press or drag sets both ranks. */
function errorMap(t, f, onPair) {
  const { left, right, top, floor } = frame(24), across = [left, right], up = [floor, top];
  const bands = s("g", { class: "lrk-bands" }), labels = s("g", { class: "lrk-levels" }), axes = s("g");
  const even = s("path", { class: "lrk-even" }), core = s("rect", { class: "lrk-core", x: left });
  const now = s("circle", { class: "lrk-now", r: 6 });
  const noise = s("g", { class: "lrk-noise" }, s("path", { d: "M0-5L5 0L0 5L-5 0Z" }), axisText(0, 17, "EVBMF"));
  const svg = sheet({}, bands, even, core, labels, axes, noise, now);
  const title = h("h3"), told = h("p", { class: "lrk-facts" });
  let layer = null, x = null, y = null;
  draggable(svg, (place) => onPair(place && [rankAt(place[1], up, layer.fulls[0]), rankAt(place[0], across, layer.fulls[1])]));

  /* The edge before the first pair at each number of outputs, from the top. */
  function edge(first) {
    let path = "";
    for (let o = layer.fulls[0]; o > 0; o--) path += `${path ? "H" : "M"}${x(first(o))}${path ? "" : `,${top}`}V${y(o - 1)}`;
    return path;
  }

  function choose(next) {
    layer = next;
    const [m, n] = layer.fulls;
    [x, y] = [linear([0, n], across), linear([0, m], up)];
    const below = (level) => (o) => {
      let i = 0;
      while (i < n && layer.errorAt(o, i + 1) > level) i++;
      return i;
    };
    const found = LEVELS.filter((level) => layer.errorAt(m, n) <= level && layer.errorAt(1, 1) > level);
    bands.replaceChildren(...found.map((level) => s("path", { d: `${edge(below(level))}H${right}V${top}Z` })));
    labels.replaceChildren(...found.map((level) => {
      let k = 0;
      while (k < 100 && layer.errorAt(Math.ceil((m * (k + 1)) / 100), Math.ceil((n * (k + 1)) / 100)) > level) k++;
      return axisText(x((n * k) / 100), y((m * k) / 100) + 4, f.percent(level));
    }));
    const saving = (o) => Math.max(layer.even[1](o), 0);
    mark(even, { d: edge(saving) });
    labels.append(axisText(Math.max(x(saving(m)) - 5, left + 80), top + 12, fill(t.break_even, { rank: "" }), "end"));
    const [o, i] = layer.estimated, seen = layer.saves([o, i]) ? "visible" : "hidden";
    mark(noise, { transform: `translate(${x(i - 0.5)} ${y(o - 0.5)})`, visibility: seen });
    axes.replaceChildren(
      ...quarters(n).map((r) => axisText(x(r - 0.5), floor + 16, String(r))),
      ...quarters(m).map((r) => axisText(left - 6, y(r - 0.5) + 4, String(r), "end")),
      axisText((left + right) / 2, SIZE.height - 4, t.axis_inputs), axisText(left, 11, t.axis_outputs, "start"));
    const name = fill(t.map, { layer: layer.name });
    mark(svg, { "aria-label": name });
    write(title, name);
  }

  function draw([o, i], refined) {
    const isDense = !layer.saves([o, i]), error = f.percent1(layer.error([o, i]));
    mark(now, { cx: x(i - 0.5), cy: y(o - 0.5) });
    mark(core, { y: y(o), width: x(i) - left, height: floor - y(o), visibility: isDense ? "hidden" : "visible" });
    const pair = `${o} × ${i}`;
    const facts = [fill(t.pair_of, { pair, full: layer.fulls.join(" × ") })];
    if (!isDense) facts.push(fill(t.error, { error }));
    else if (o < layer.fulls[0] || i < layer.fulls[1]) facts.push(fill(t.stays_dense, { rank: pair }));
    if (refined) facts.push(fill(t.refined, { error: f.percent1(refined) }));
    write(told, facts.join("  ·  "));
  }
  return { node: h("figure", { class: "lrk-chart lrk-map" }, title, svg, told), choose, draw };
}

export default { render: boardOf(tuckerParts) };
