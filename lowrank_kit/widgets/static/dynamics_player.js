/* The dynamics player: every control changes one setting, the kernel answers with a whole film, and the film is here. */

const series = (mantissas, low, high) => {
  const found = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) found.push(...mantissas.map((m) => +(m * 10 ** e).toPrecision(3)));
  return found.filter((v) => v >= low * 0.999 && v <= high * 1.001);
};
const upTo = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
/* What a slider stops at. */
const STOPS = {
  depth: () => upTo(1, 8),
  width: () => [6, 8, 10, 12, 16, 20, 24, 30, 36, 40, 50, 60, 80, 100],
  rank: ({ width }) => upTo(1, Math.min(width, 20)),
  scale: () => series([1, 1.5, 2, 3, 5, 7], 0.001, 2),
  learning_rate: () => series([1, 1.5, 2, 3, 4, 5, 7], 1e-4, 0.5),
  steps: () => series([1, 2, 4, 6], 100, 20000),
};
/* What a select has to choose from. */
const CHOICES = {
  start: ["orthogonal", "gaussian", "uniform", "aligned"],
  rule: ["descent", "momentum", "adam"],
  condition: [1, 1.5, 3, 10],
  seen: [1, 0.5, 0.35, 0.2],
  outer: [0, 0.001, 0.01, 0.1],
  weight_decay: [0, 0.01, 0.1],
};

function readFilm({ facts, shapes, arrays, run }, buffers) {
  const film = { facts, shapes, run, ...unpack(arrays, buffers) };
  film.last = Math.max(film.steps.at(-1), 1);
  film.law = "resting" in film;
  return film;
}

function buildView(model, el, store, t, language) {
  const f = numbers(language), first = (store.first ??= model.get("setting")), seen = { run: -1, layer: -1 };
  const setting = () => model.get("setting");
  const change = (next, final = true) => {
    model.set("setting", { ...setting(), ...next, final });
    model.save_changes();
    ask();
  };
  const settle = () => { if (!setting().final) change({}); };
  const film = () => store.film;
  const index = () => Math.min(setting().at ?? Infinity, (film()?.steps.length ?? 1) - 1);
  const act = {
    settle,
    layer: (layer) => change({ layer }),
    scrub: (step, final) => time.scrub(step, final),
    /* A narrower network cannot have a target of a higher rank, nor fewer layers one that is shown. */
    set: (name, value, final) => {
      const next = { ...setting(), [name]: value };
      next.rank = Math.min(next.rank, next.width);
      next.layer = Math.min(next.layer, next.depth - 1);
      if (name === "condition" && value > 1) next.seen = 1;
      if (name === "seen" && value < 1) next.condition = 1;
      halt();
      change(next, final);
    },
    language: () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); },
  };
  const ask = oncePerFrame(() => paint());
  const time = transport({
    t, f, index, settle, steps: () => film()?.steps ?? [], go: (at, final) => change({ at }, final), ask: () => ask(), isThere: () => el.isConnected,
  });
  const halt = () => time.halt();

  const said = { depth: f.whole, width: f.whole, rank: f.whole, scale: f.two, learning_rate: f.two, steps: f.whole };
  const sliders = Object.entries(STOPS).map(([name, stops]) => {
    const range = h("input", {
      type: "range", min: 0, step: 1, "aria-label": t[name], "data-layer": name, ...onRange(() => act.set(name, stops(setting())[+range.value], false), settle),
    });
    const shown = h("output", { "aria-live": "off" }), node = h("label", { class: "lrk-knob" }, h("span", {}, t[name]), range, shown);
    const draw = () => {
      const all = stops(setting()), value = setting()[name];
      const at = all.reduce((best, v, i) => (Math.abs(v - value) < Math.abs(all[best] - value) ? i : best), 0);
      mark(range, { max: all.length - 1, "aria-valuetext": said[name](value) });
      if (+range.value !== at) range.value = at;
      node.style.setProperty("--at", `${(100 * at) / Math.max(all.length - 1, 1)}%`);
      write(shown, said[name](value));
    };
    return { node, draw };
  });
  const selects = Object.entries(CHOICES).map(([name, choices]) => {
    const textOf = (value) => (typeof value === "string" ? t[value] : name === "seen" ? f.percent(value) : value === choices[0] ? t[`${name}_none`] : f.two(value));
    const options = choices.map((value) => h("option", { value }, textOf(value)));
    const select = h("select", { "aria-label": t[name], "data-name": name, onchange: () => act.set(name, isNaN(select.value) ? select.value : +select.value) }, ...options);
    const node = h("label", { class: "lrk-knob" }, h("span", {}, t[name]), select);
    const draw = () => {
      const value = setting()[name];
      if (![...select.options].some((option) => option.value === String(value))) select.append(h("option", { value }, textOf(value)));
      if (select.value !== String(value)) select.value = value;
    };
    return { node, draw };
  });
  const seed = button(t.another, () => act.set("seed", setting().seed + 1)), reset = button(t.reset, () => change({ ...first, at: setting().at }));

  const tiles = { rest: tile(t.rest), resting: tile(t.resting), gap: tile(t.gap), params: tile(t.params) };
  const layers = h("div", { class: "lrk-layers" }), product = heatMap(t.product), target = heatMap(t.target);
  let charts = [];
  const angles = angleChart(act, t, f), modes = modesChart(act, t, f);
  const loss = logChart(act, t, f, [["loss", HUE.up, ""], ["twin_loss", HUE.law, "6 4"]], (now, at) => (
    isNaN(now.twin_loss[at]) ? fill(t.loss_alone, { loss: f.two(now.loss[at]) })
      : fill(t.losses, { loss: f.two(now.loss[at]), twin: f.two(now.twin_loss[at]) })));
  const bar = h("progress", { "aria-label": t.progress, max: 1 }), words = h("p", { class: "lrk-words", role: "status" }), note = h("p", { class: "lrk-note" });

  function trace(now) {
    const { shapes, values, facts } = now, [, count] = shapes.values;
    if (charts.length !== count) {
      charts = Array.from({ length: count }, (_, i) => layerChart(act, i, `W${"₀₁₂₃₄₅₆₇₈₉"[i + 1] ?? i + 1}`, t, f));
      layers.replaceChildren(...charts.map(({ node }) => node));
    }
    /* A run that diverges would leave nothing to see of what was before. */
    const high = Math.min(most(values, 0), 4 * Math.max(facts.strengths[0] ** (1 / facts.depth), facts.scale));
    charts.forEach((chart) => chart.trace(now, high, facts.ends));
    [loss, modes].forEach((chart) => chart.trace(now));
  }

  function paintTiles(now, at) {
    const { facts, shapes } = now, layer = setting().layer, count = shapes.values[1], n = shapes.values[2];
    const many = Array.from({ length: count }, (_, i) => now.repeated[at * count + i]), least = Math.min(...many), room = n - facts.ends[0] - facts.ends[1];
    tiles.rest.show("exact", "", fill(t.of, { part: f.whole(least), whole: f.whole(n) }), least ? t.rest_line : t.rest_none, room > 0 ? fill(t.rest_law, { room: f.whole(room) }) : t.rest_no_room);
    const middle = Math.floor((n - 1) / 2), value = now.values[(at * count + layer) * n + middle], law = now.resting?.[at * count + layer];
    tiles.resting.show("exact", "", f.three(value), fill(t.resting_line, { layer: layer + 1 }), law === undefined ? t.resting_no_law : fill(t.resting_law, { law: f.three(law) }));
    const gap = now.gap[at], told = now.gap_foretold?.[at];
    if (isNaN(gap)) tiles.gap.show("waiting", "", "–", t.gap_none);
    else tiles.gap.show("exact", "", f.two(gap), fill(t.gap_line, { wide: f.two(now.recovery[at]), twin: f.two(now.twin_recovery[at]) }), told === undefined ? t.gap_no_law : fill(t.gap_law, { law: f.two(told) }));
    const { n_params: whole, n_params_twin: twin } = facts;
    if (twin) tiles.params.show("exact", "", f.percent1(twin / whole), fill(t.params_line, { twin: f.whole(twin), whole: f.whole(whole) }), fill(t.params_width, { width: 2 * (facts.guess ?? facts.rank) }));
    else tiles.params.show("waiting", "", "–", t.gap_none);
  }

  function paintWords(now) {
    const { limit, learning_rate: rate, diverged_at: lost, condition, seen: part } = now.facts, all = [];
    if (limit !== null && rate > limit) all.push(fill(condition > 1 || part < 1 ? t.beyond_about : t.beyond, { rate: f.two(rate), limit: f.two(limit) }));
    if (lost !== null) all.push(fill(t.diverged, { step: f.whole(lost) }));
    if (2 * now.facts.rank >= now.facts.width) all.push(fill(t.no_room, { rank: f.whole(now.facts.rank), width: f.whole(now.facts.width) }));
    write(words, all.join(" "));
  }

  function paint() {
    const started = performance.now(), now = film();
    [...sliders, ...selects].forEach(({ draw }) => draw());
    mark(bar, { value: model.get("progress") });
    bar.style.visibility = model.get("progress") < 1 ? "visible" : "hidden";
    write(note, model.get("fault"));
    if (!now) return;
    const layer = Math.min(setting().layer, now.shapes.values[1] - 1), at = index(), n = now.shapes.product[1];
    if (seen.run !== now.run) trace(now);
    if (seen.run !== now.run || seen.layer !== layer) angles.trace(now, layer);
    Object.assign(seen, { run: now.run, layer });
    const place = time.place() ?? now.steps[at], last = f.whole(now.steps.at(-1));
    const text = fill(t.step_of, { step: f.whole(now.steps[at]), total: last });
    const spoken = `${fill(t.entry_of, { entry: at + 1, count: now.steps.length })}, ${text}`;
    time.draw(at, now.steps.length, text, fill(t.step_of, { step: last, total: last }), spoken, setting().at === null);
    charts.forEach((chart, i) => {
      const many = now.repeated[at * charts.length + i], whole = f.whole(now.shapes.values[2]);
      chart.draw(many ? fill(t.repeated, { many: f.whole(many), n: whole }) : t.none_repeated, place, i === layer);
    });
    angles.draw(now, at, place, layer);
    [loss, modes].forEach((chart) => chart.draw(now, at, place));
    const high = Math.max(...now.target.map(Math.abs)), error = f.two(now.recovery[at]);
    product.draw(now.product, at * n * n, n, high, fill(t.product_said, { error }));
    target.draw(now.target, 0, n, high, t.target);
    paintTiles(now, at);
    paintWords(now);
    el.dataset.run = now.run;
    el.dataset.paint = (performance.now() - started).toFixed(2);
  }

  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" }, h("div", {}, h("h2", {}, t.title), h("p", {}, t.subtitle)), h("nav", {}, seed, reset, button(t.language, act.language))),
    h("div", { class: "lrk-knobs" }, ...sliders.map(({ node }) => node), ...selects.map(({ node }) => node)), bar,
    h("div", { class: "lrk-tiles" }, ...Object.values(tiles).map(({ node }) => node)), time.node, words, layers,
    h("p", { class: "lrk-facts" }, ...["up", "rest", "down", "law"].map((kind) => h("span", { class: "lrk-key", style: `--hue: ${HUE[kind]}` }, t[`key_${kind}`]))),
    h("div", { class: "lrk-panels" }, angles.node, loss.node, modes.node, h("div", { class: "lrk-heats" }, product.node, target.node)),
    note);
  paint();
  return { refresh: ask, leave: halt };
}

function render({ model, el }) {
  const store = { film: null, words: null };
  function hear(message, buffers) {
    if (message.kind === "words" && !store.words) return (store.words = message.strings);
    if (message.kind === "film" && message.run >= (store.film?.run ?? 0)) store.film = readFilm(message, buffers);
  }
  return mount({ model, el }, "lrk-dynamics", ["setting", "progress", "fault"], hear,
    (t, language) => buildView(model, el, store, t, language));
}

export default { render };
