/* The rank board. It indexes and sums the tables Python sent, and draws; nothing is computed anew. */

const NEIGHBOURS = 15;

/* The same lookups as records/tables.py, over the same numbers. */
function readTables(words, arrays) {
  let start = 0;
  const layers = words.layers.map((layer) => {
    const [m, n] = layer.shape;
    const full = Math.min(m, n);
    const part = (name) => arrays[name].subarray(start, start + full);
    const [values, drop] = [part("values"), part("drop")];
    start += full;
    const squares = values.map((v) => v * v);
    for (let i = 1; i < full; i++) squares[i] += squares[i - 1];
    return { ...layer, area: m * n, sum: m + n, full, values, drop, squares, breakEven: Math.floor((m * n - 1) / (m + n)) };
  });
  const weightsAt = (l, r) => (r <= l.breakEven ? r * l.sum : l.area);
  const saved = (ranks, weight) => layers.reduce((t, l, i) => t + (l.area - weightsAt(l, ranks[i])) * weight(l), 0);
  const weights = { params: () => 1, macs: (l) => l.positions };
  const biases = layers.reduce((t, l) => t + (l.bias ? l.shape[0] : 0), 0);
  const totals = {
    params: biases + layers.reduce((t, l) => t + l.area, 0),
    macs: layers.reduce((t, l) => t + l.area * l.positions, 0),
  };
  const change = (ranks) => -layers.reduce((t, l, i) => t + (ranks[i] <= l.breakEven ? l.drop[ranks[i] - 1] : 0), 0);
  return {
    ...words,
    layers,
    paramsAt: (ranks) => words.n_params - saved(ranks, weights.params),
    macsAt: (ranks) => words.macs - saved(ranks, weights.macs),
    kept: (ranks, cost) => 1 - saved(ranks, weights[cost]) / totals[cost],
    predict: (ranks) => Math.min(Math.max(words.accuracy + change(ranks), Math.min(words.accuracy, 1 / words.n_classes)), 1),
    budget: (thousandth, rule, cost, ranks) => {
      const table = arrays[`${rule} ${cost}`], { layers: names } = words.budgets[`${rule} ${cost}`];
      return layers.map((l, i) => {
        const column = names.indexOf(l.name);
        return column < 0 ? l.full : table[thousandth * names.length + column];
      });
    },
    cheapest: (rule, cost) => words.budgets[`${rule} ${cost}`].cheapest,
    predictionError: (predicted) => {
      if (!arrays.predicted.length) return null;
      const off = [...arrays.predicted]
        .map((p, i) => [Math.abs(p - predicted), i])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1])
        .slice(0, NEIGHBOURS)
        .map(([, i]) => Math.abs(arrays.predicted[i] - arrays.observed[i]))
        .sort((a, b) => a - b);
      const at = 0.9 * (off.length - 1), low = Math.floor(at);
      return off[low] + (at - low) * ((off[low + 1] ?? off[low]) - off[low]);
    },
  };
}

function tile(title) {
  const badge = h("span", { class: "lrk-badge" });
  const value = h("div", { class: "lrk-value" });
  const first = h("div", { class: "lrk-line" });
  const second = h("div", { class: "lrk-line" });
  const node = h("section", { class: "lrk-tile" }, h("header", {}, h("h3", {}, title), badge), value, first, second);
  const show = (kind, badgeText, valueText, firstText, secondText = "") => {
    if (node.dataset.kind !== kind) node.dataset.kind = kind;
    write(badge, badgeText);
    write(value, valueText);
    for (const [line, text] of [[first, firstText], [second, secondText]]) {
      write(line, text);
      line.title = text;
    }
  };
  return { node, first, second, show };
}

/* Singular values of one layer on a log axis, the cut, and what it keeps. A press or drag on it sets the rank. */
function spectrumChart(t, f, onRank) {
  const W = 440, H = 250, box = { left: 42, right: 16, top: 12, bottom: 38 };
  const id = `lrk-${Math.random().toString(36).slice(2)}`;
  const keep = s("rect", { x: 0, y: 0, width: 0, height: H });
  const axes = s("g", { class: "lrk-axes" });
  const all = s("path", { class: "lrk-cut" });
  const kept = s("path", { class: "lrk-kept", "clip-path": `url(#${id})` });
  const even = s("line", { class: "lrk-even", y1: box.top, y2: H - box.bottom });
  const evenText = s("text", { class: "lrk-eventext", y: box.top + 10 });
  const cut = s("line", { class: "lrk-cutline", y1: box.top, y2: H - box.bottom });
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" },
    s("defs", {}, s("clipPath", { id }, keep)), axes, even, evenText, all, kept, cut);
  const title = h("h3"), facts = h("p", { class: "lrk-facts" });
  let layer = null, x = null;

  const rankAt = (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left) / svg.getBoundingClientRect().width) * W;
    return Math.min(Math.max(Math.round(((at - box.left) / (W - box.left - box.right)) * layer.full), 1), layer.full);
  };
  svg.addEventListener("pointerdown", (e) => { svg.setPointerCapture(e.pointerId); onRank(rankAt(e), false); });
  svg.addEventListener("pointermove", (e) => { if (svg.hasPointerCapture(e.pointerId)) onRank(rankAt(e), false); });
  svg.addEventListener("pointerup", (e) => onRank(rankAt(e), true));

  function choose(next) {
    layer = next;
    const positive = layer.values.filter((v) => v > layer.values[0] * 1e-4);
    const high = layer.values[0] * 1.15 || 1, low = Math.min((positive.at(-1) ?? 1) * 0.85, high / 12);
    x = linear([0, layer.full], [box.left, W - box.right]);
    const y = linear([Math.log10(low), Math.log10(high)], [H - box.bottom, box.top]);
    const path = [...layer.values].map((v, i) => `M${x(i + 0.5).toFixed(1)},${y(Math.log10(Math.max(v, low))).toFixed(1)}h.01`).join("");
    const size = Math.max(2.2, Math.min(7, (0.62 * (W - box.left - box.right)) / layer.full));
    for (const p of [all, kept]) mark(p, { d: path, "stroke-width": size });
    const ticks = decades(low, high).flatMap((d) => [d, 2 * d, 5 * d]).concat(decades(low / 10, high).slice(0, 1).flatMap((d) => [2 * d, 5 * d]));
    const lines = [...new Set(ticks)].filter((v) => v >= low && v <= high).map((v) => [
      s("line", { x1: box.left, x2: W - box.right, y1: y(Math.log10(v)), y2: y(Math.log10(v)) }),
      s("text", { x: box.left - 6, y: y(Math.log10(v)) + 3.5, "text-anchor": "end" }, f.three(v)),
    ]);
    const steps = [1, ...[0.25, 0.5, 0.75, 1].map((q) => Math.round(q * layer.full))];
    const ranks = [...new Set(steps)].map((r) => s("text", { x: x(r - 0.5), y: H - box.bottom + 16, "text-anchor": "middle" }, String(r)));
    axes.replaceChildren(...lines.flat(), ...ranks,
      s("text", { x: (box.left + W - box.right) / 2, y: H - 4, "text-anchor": "middle" }, t.axis_rank));
    mark(even, { x1: x(layer.breakEven), x2: x(layer.breakEven) });
    mark(evenText, { x: x(layer.breakEven) - 5, "text-anchor": "end" });
    evenText.textContent = fill(t.break_even, { rank: layer.breakEven });
    mark(svg, { "aria-label": fill(t.spectrum, { layer: layer.name }) });
    write(title, fill(t.spectrum, { layer: layer.name }));
  }

  function draw(rank) {
    const at = rank >= layer.full ? W : x(rank);
    mark(keep, { width: at });
    mark(cut, { x1: at, x2: at });
    const total = layer.squares[layer.full - 1], held = total > 0 ? layer.squares[rank - 1] / total : 1;
    const error = rank < layer.full ? Math.sqrt(Math.max(1 - held, 0)) : 0;
    write(facts, [
      fill(t.rank_of, { rank, full: layer.full }),
      fill(t.energy, { energy: f.percent1(held) }),
      fill(t.error, { error: f.percent1(error) }),
      ...(rank > layer.breakEven && rank < layer.full ? [fill(t.stays_dense, { rank })] : []),
    ].join("  ·  "));
  }
  return { node: h("figure", { class: "lrk-chart" }, title, svg, facts), choose, draw, layer: () => layer };
}

/* Every setting tried: size kept against the change in accuracy on the validation examples, and the best so far. */
function tradeChart(t, f) {
  const W = 440, H = 250, box = { left: 42, right: 22, top: 14, bottom: 38 };
  /* Small losses matter most: the axis is a signed square root of points. */
  const root = (fraction) => Math.sign(fraction) * Math.sqrt(Math.abs(fraction));
  const x = linear([0, 1], [box.left, W - box.right]);
  const y = linear([root(0.03), root(-0.9)], [box.top + 10, H - box.bottom]);
  const at = (change) => y(root(Math.min(Math.max(change, -0.9), 0.03)));
  const grid = [0, -0.01, -0.05, -0.1, -0.25, -0.5, -0.9].flatMap((v) => [
    s("line", { x1: box.left, x2: W - box.right, y1: at(v), y2: at(v), class: v ? "" : "lrk-zero" }),
    s("text", { x: box.left - 6, y: at(v) + 3.5, "text-anchor": "end" }, v ? f.points(v).replace(/[.,]0$/, "") : "0"),
  ]);
  const shares = [0, 0.25, 0.5, 0.75, 1].map((v) => s("text", { x: x(v), y: H - box.bottom + 16, "text-anchor": "middle" }, f.percent(v)));
  const name = s("text", { x: (box.left + W - box.right) / 2, y: H - 4, "text-anchor": "middle" });
  const side = s("text", { x: box.left, y: box.top - 1 }, t.axis_change);
  const front = s("path", { class: "lrk-front" });
  const dots = s("g", { class: "lrk-dots" });
  const bar = s("line", { class: "lrk-bar" });
  const now = s("circle", { class: "lrk-now", r: 6 });
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": t.accuracy_size },
    s("g", { class: "lrk-axes" }, ...grid, ...shares, name, side), front, dots, bar, now);
  const key = (kind, text) => h("span", { class: `lrk-key lrk-key-${kind}` }, text);
  const node = h("figure", { class: "lrk-chart" }, h("h3", {}, t.accuracy_size), svg,
    h("p", { class: "lrk-facts" }, key("now", t.legend_now), key("dot", t.legend_measured), key("front", t.legend_pareto)));

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

function sliderRow(layer, index, t, act) {
  const label = fill(t.layer_rank, { layer: layer.name });
  const range = h("input", {
    type: "range", min: 1, max: layer.full, step: 1, "aria-label": label, "data-layer": layer.name,
    oninput: () => act.rank(index, +range.value, false), onchange: () => act.rank(index, +range.value, true),
    onfocus: () => act.choose(index),
  });
  const typed = h("input", {
    type: "number", min: 1, max: layer.full, step: 1, "aria-label": label, inputmode: "numeric",
    onchange: () => act.typed(index, typed.value), onfocus: () => act.choose(index),
  });
  const share = h("span", { class: "lrk-share" });
  const node = h("div", { class: "lrk-row", onpointerdown: () => act.choose(index) },
    h("div", { class: "lrk-name" }, h("b", {}, layer.name), h("small", {}, layer.shape.join(" × ")),
      ...(layer.is_head ? [h("small", {}, t.head)] : [])), range, typed, share);
  node.style.setProperty("--even", `${(100 * layer.breakEven) / layer.full}%`);

  function draw(rank, f) {
    if (+range.value !== rank) range.value = rank;
    if (document.activeElement !== typed || typed.dataset.rank !== String(rank)) typed.value = rank;
    typed.dataset.rank = rank;
    const dense = rank > layer.breakEven;
    const text = dense ? t.dense : f.percent((rank * layer.sum) / layer.area);
    node.style.setProperty("--at", `${(100 * (rank - 1)) / Math.max(layer.full - 1, 1)}%`);
    if (node.dataset.dense !== String(dense)) node.dataset.dense = dense;
    write(share, text);
    mark(range, { "aria-valuetext": `${fill(t.rank_of, { rank, full: layer.full })}, ${text}` });
  }
  return { node, draw, select: (on) => node.classList.toggle("lrk-chosen", on) };
}

function buildBoard(model, el, tables, allStrings) {
  const t = allStrings[model.get("language")], f = numbers(model.get("language"));
  const state = { ranks: model.get("setting").ranks.slice(), rule: "energy", cost: "params", chosen: 0, origin: null };
  state.chosen = tables.layers.reduce((best, l, i) => (l.area > tables.layers[best].area ? i : best), 0);
  const tiles = { params: tile(t.params), macs: tile(t.macs), accuracy: tile(t.accuracy), latency: tile(t.latency) };
  const note = h("p", { class: "lrk-note", role: "status" });
  const found = () => {
    const finding = model.get("finding");
    return finding.ranks && finding.ranks.every((r, i) => r === state.ranks[i]) ? finding : null;
  };

  const paint = () => {
    const started = performance.now();
    const params = tables.paramsAt(state.ranks), macs = tables.macsAt(state.ranks);
    const predicted = tables.predict(state.ranks), error = tables.predictionError(predicted);
    const kept = tables.kept(state.ranks, state.cost);
    tiles.params.show("exact", "", f.whole(params), fill(t.of_total, { share: f.percent1(params / tables.n_params), total: f.whole(tables.n_params) }));
    tiles.macs.show("exact", "", f.compact(macs), fill(t.of_total, { share: f.percent1(macs / tables.macs), total: f.compact(tables.macs) }));
    paintAccuracy(found(), predicted, error);
    paintLatency(found());
    rows.forEach((row, i) => row.draw(state.ranks[i], f));
    spectrum.draw(state.ranks[state.chosen]);
    trade.draw(kept, predicted - tables.accuracy, error);
    if (document.activeElement !== budget || !state.budgeting) budget.value = Math.round(1000 * kept);
    budget.parentElement.style.setProperty("--at", `${(100 * (budget.value - budget.min)) / (1000 - budget.min)}%`);
    write(budgetText, f.percent1(kept));
    mark(budget, { "aria-valuetext": `${f.percent1(kept)} ${t[`of_${state.cost}`]}` });
    if (state.unsent) send();
    el.dataset.paint = (performance.now() - started).toFixed(2);
  };
  const ask = oncePerFrame(paint);

  function paintAccuracy(finding, predicted, error) {
    if (!finding || state.moving) {
      const off = error === null ? t.off_unknown : fill(t.off_within, { error: f.percent1(error).replace(/\s?%/, "") });
      return tiles.accuracy.show("predicted", t.predicted, f.percent1(predicted), fill(t.change, { delta: f.points(predicted - tables.accuracy), low: "", high: "" }).replace(/\s*\[.*\]/, ""), off);
    }
    const [delta, low, high] = finding.change.map(f.points);
    const badge = finding.stage === "first" ? fill(t.measured_first, { n: f.whole(finding.n) }) : t.measured;
    const interval = { low: f.percent1(finding.interval[0]), high: f.percent1(finding.interval[1]), n: f.whole(finding.n) };
    tiles.accuracy.show("measured", badge, f.percent1(finding.accuracy), fill(t.change, { delta, low, high }), fill(t.interval, interval));
  }

  function paintLatency(finding) {
    const latency = finding?.latency;
    if (!latency || state.moving) return tiles.latency.show("waiting", "", "–", t.latency_pending);
    const words = { dense: f.three(1e3 * latency.dense_s), threads: latency.threads, device: latency.device };
    const speedup = f.two(latency.speedup);
    const pace = speedup === f.two(1) ? t.same_pace : fill(latency.speedup < 1 ? t.slower : t.faster, { speedup });
    const conditions = latency.busy ? fill(t.busy, { share: f.percent(latency.busy) }) : fill(t.timed, words);
    tiles.latency.show("measured", t.measured, fill(t.milliseconds, { time: f.three(1e3 * latency.median_s) }), pace, conditions);
  }

  /* ipywidgets keeps one message in flight and sends the newest state when it has come back. */
  function send() {
    const hand = { rule: "hand", budget: null, cost: null };
    model.set("setting", { ranks: state.ranks.slice(), final: state.final, ...(state.origin ?? hand) });
    if (state.final) model.set("history", [...model.get("history"), ...(state.before ? [state.before] : [])]);
    model.save_changes();
    state.unsent = false;
    if (state.final) state.before = null;
  }

  function change(ranks, final, origin = null) {
    state.before ??= { ...model.get("setting"), final: false };
    Object.assign(state, { ranks, final, origin, moving: !final, unsent: true });
    ask();
  }

  const act = {
    choose: (index) => {
      if (index === state.chosen) return;
      state.chosen = index;
      spectrum.choose(tables.layers[index]);
      rows.forEach((row, i) => row.select(i === index));
      ask();
    },
    rank: (index, rank, final) => {
      act.choose(index);
      say("");
      change(state.ranks.map((r, i) => (i === index ? rank : r)), final);
    },
    typed: (index, text) => {
      const rank = Number(text), { name, full } = tables.layers[index];
      if (Number.isInteger(rank) && rank >= 1 && rank <= full) return act.rank(index, rank, true);
      say(fill(t.rank_rule, { name, full, value: text || "–" }));
      ask();
    },
    budget: (final) => {
      state.budgeting = !final;
      say("");
      change(tables.budget(+budget.value, state.rule, state.cost), final, { rule: state.rule, budget: budget.value / 1000, cost: state.cost });
    },
    undo: () => {
      const history = model.get("history");
      if (!history.length) return;
      model.set("history", history.slice(0, -1));
      Object.assign(state, { ranks: history.at(-1).ranks.slice(), before: null, moving: false });
      model.set("setting", { ...history.at(-1), final: true });
      model.save_changes();
      ask();
    },
    reset: () => change(tables.layers.map((l) => l.full), true),
    copy: () => navigator.clipboard.writeText(model.get("plan_json")).then(() => say(t.copied), () => say(t.copy_refused)),
    download: () => {
      const url = URL.createObjectURL(new Blob([model.get("plan_json")], { type: "application/json" }));
      h("a", { href: url, download: `${tables.name}-plan.json` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    },
    language: () => { model.set("language", model.get("language") === "en" ? "ja" : "en"); model.save_changes(); },
  };

  function say(text) { write(note, text); }

  const budgetText = h("output", {});
  const budget = h("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": t.budget, "data-layer": "budget", oninput: () => act.budget(false), onchange: () => act.budget(true) });
  const select = (name, options, onchange) => h("select", { "aria-label": name, onchange }, ...options.map(([value, text]) => h("option", { value }, text)));
  const limits = () => mark(budget, { min: Math.ceil(1000 * tables.cheapest(state.rule, state.cost)) });
  const cost = select(t.budget, [["params", t.of_params], ["macs", t.of_macs]], (e) => { state.cost = e.target.value; limits(); remember(); ask(); });
  const rule = select(t.rule, [["energy", t.rule_energy], ["uniform", t.rule_uniform]], (e) => { state.rule = e.target.value; limits(); act.budget(true); });
  const batch = select(t.batch, [1, 32, 256].map((n) => [n, `${t.batch} ${n}`]), (e) => { model.set("batch", +e.target.value); model.save_changes(); });
  if (![1, 32, 256].includes(model.get("batch"))) batch.prepend(h("option", { value: model.get("batch") }, `${t.batch} ${model.get("batch")}`));
  batch.value = model.get("batch");
  tiles.latency.node.querySelector("header").append(batch);
  const rows = tables.layers.map((layer, i) => sliderRow(layer, i, t, act));
  const spectrum = spectrumChart(t, f, (rank, final) => act.rank(state.chosen, rank, final));
  const trade = tradeChart(t, f);
  const remember = () => trade.remember(model.get("tried").map((p) => ({ kept: tables.kept(p.ranks, state.cost), change: p.change[0] })), state.cost);
  const button = (text, onclick) => h("button", { type: "button", onclick }, text);

  const head = h("header", { class: "lrk-head" },
    h("div", {}, h("h2", {}, tables.name), h("p", {}, fill(t.subtitle, { accuracy: f.percent1(tables.accuracy), n: f.whole(tables.n_examples) }))),
    h("nav", {}, button(t.undo, act.undo), button(t.reset, act.reset), button(t.copy_plan, act.copy), button(t.download_plan, act.download), button(t.language, act.language)));
  const keep = h("div", { class: "lrk-row lrk-budget" },
    h("div", { class: "lrk-name" }, h("b", {}, t.budget), h("small", {}, t.share_of), h("small", {}, cost)), budget, budgetText, h("span", {}));
  const controls = h("div", { class: "lrk-controls" }, keep, h("label", { class: "lrk-rule" }, h("span", {}, t.rule), rule), ...rows.map((row) => row.node));
  el.classList.add("lrk");
  /* Keys on a slider are the slider's: JupyterLab binds arrows, Enter and letters to its cells. */
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  el.replaceChildren(head,
    h("div", { class: "lrk-tiles" }, ...Object.values(tiles).map(({ node }) => node)),
    h("div", { class: "lrk-body" }, controls, h("div", { class: "lrk-charts" }, spectrum.node, trade.node)), note);
  limits();
  spectrum.choose(tables.layers[state.chosen]);
  rows.forEach((row, i) => row.select(i === state.chosen));
  remember();
  paint();

  return {
    /* Python moved the ranks, or another view did. A hand on the slider wins. */
    setting: () => {
      const { ranks, final } = model.get("setting");
      if (state.moving || state.unsent || ranks.every((r, i) => r === state.ranks[i])) return;
      Object.assign(state, { ranks: ranks.slice(), before: null, moving: !final });
      ask();
    },
    /* Better numbers for the same layers, also under a hand that is dragging. */
    refresh: (better) => { Object.assign(tables, better); ask(); },
    finding: ask,
    tried: remember,
    progress: () => {
      const { done, total } = model.get("progress");
      say(done < total ? fill(t.curves, { done, total }) : "");
    },
  };
}

function render({ model, el }) {
  let board = null, received = null;
  const build = () => { board = buildBoard(model, el, received.tables, received.strings); };
  const hear = (message, buffers) => {
    if (message.kind !== "tables") return;
    const tables = readTables(message.words, unpack(message.arrays, buffers));
    if (received) return board.refresh(tables);
    received = { tables, strings: message.strings };
    build();
    /* A live board stands for its still picture, which is there for pages without one. */
    if (!document.getElementById("lrk-live")) document.head.append(h("style", { id: "lrk-live" }, ".lrk-still{display:none}"));
    requestAnimationFrame(() => setTimeout(() => model.send({ kind: "painted" })));
  };
  const changed = Object.fromEntries(["setting", "finding", "tried", "progress"].map((name) => [name, () => board?.[name]()]));
  model.on("msg:custom", hear);
  for (const [name, call] of Object.entries(changed)) model.on(`change:${name}`, call);
  const language = () => received && build();
  model.on("change:language", language);
  model.send({ kind: "hello" });
  return () => {
    model.off("msg:custom", hear);
    model.off("change:language", language);
    for (const [name, call] of Object.entries(changed)) model.off(`change:${name}`, call);
  };
}

export default { render };
