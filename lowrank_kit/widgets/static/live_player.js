/* The live player: two trainings in step. It holds every row it was sent, so that scrubbing asks the kernel for nothing. */

const CHOICES = {
  start: ["orthogonal", "gaussian", "uniform", "default"],
  scale: [1, 0.5, 0.2, 0.1],
  optimiser: ["descent", "momentum", "adam"],
  learning_rate: [1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001],
  whitened: [true, false],
  batch: [null, 256, 64, 16],
  steps: [200, 400, 1000, 2000, 4000],
};
const COMMANDS = { ready: "start", running: "pause", paused: "resume" };

/* The film with rows behind those it has, or in the place of the last one. */
function longer(film, { start, count, shapes, arrays }, buffers) {
  const found = unpack(arrays, buffers), all = { shapes: {} };
  for (const [name, shape] of Object.entries(shapes)) {
    const size = shape.reduce((a, b) => a * b, 1), before = film?.[name]?.subarray(0, start * size) ?? [];
    all[name] = new Float64Array(start * size + count * size);
    all[name].set(before);
    all[name].set(found[name], start * size);
    all.shapes[name] = [start + count, ...shape];
  }
  return { ...all, steps: all.step };
}

function buildView(model, el, store, t, language) {
  const f = numbers(language), { meta } = store, { layers, n_classes: classes } = meta, seen = { version: -1 };
  const setting = () => model.get("setting"), film = () => store.film;
  const index = () => Math.min(setting().at ?? Infinity, film().steps.length - 1);
  const change = (next, final = true) => {
    model.set("setting", { ...setting(), ...next, final });
    model.save_changes();
    ask();
  };
  const settle = () => { if (!setting().final) change({}); };
  const ask = oncePerFrame(() => paint());
  const time = transport({
    t, f, index, settle, steps: () => film().steps, go: (at, final) => change({ at }, final), ask: () => ask(), isThere: () => el.isConnected,
  });
  const act = { settle, scrub: (step, final) => time.scrub(step, final) };
  const send = (name) => {
    if (name === "restart") time.to(Infinity);
    /* The settings too, since a change of them waits while the kernel is busy, and a message does not. */
    model.send({ kind: name, setting: setting() });
  };

  const command = () => COMMANDS[model.get("state")] ?? "restart";
  const main = h("button", { type: "button", class: "lrk-main", onclick: () => send(command()) });
  const again = button(t.restart, () => send("restart")), bar = h("progress", { "aria-label": t.progress }), status = h("span", { class: "lrk-status" });
  const speak = { language: () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); } };

  const textOf = (name, value) => (value === null ? t.batch_all : typeof value === "boolean" ? t[value ? "yes" : "no"]
    : typeof value === "string" ? t[value] : name === "steps" || name === "batch" ? f.whole(value) : f.two(value));
  const selects = Object.entries(CHOICES).map(([name, choices]) => {
    const all = [...choices], option = (value) => h("option", { value: String(value) }, textOf(name, value));
    const label = t[name === "start" ? "start_kind" : name];
    const select = h("select", { "aria-label": label, "data-name": name, onchange: () => change({ [name]: all[select.selectedIndex] }) }, ...all.map(option));
    const draw = () => {
      const value = setting()[name];
      if (!all.includes(value)) {
        all.push(value);
        select.append(option(value));
      }
      select.selectedIndex = all.indexOf(value);
    };
    return { node: h("label", { class: "lrk-knob" }, h("span", {}, label), select), draw };
  });

  const tiles = { accuracy: tile(t.accuracy), moved: tile(t.moved), resting: tile(t.resting), loss: tile(t.loss) };
  const charts = [0, 1].map((which) => layers.map((name, i) => layerChart(act, which * layers.length + i, name, t, f)));
  const rows = charts.map((row, which) => h("section", { class: "lrk-kind" }, h("h3", {}, t[which ? "twin" : "network"]),
    h("div", { class: "lrk-layers" }, ...row.map(({ node }) => node))));
  const loss = logChart(act, t, f, [["loss_network", HUE.up, ""], ["loss_twin", HUE.law, "6 4"]], (now, at) => (
    fill(t.losses, { network: f.two(now.loss[2 * at]), twin: f.two(now.loss[2 * at + 1]) })));
  const words = h("p", { class: "lrk-words", role: "status" }), note = h("p", { class: "lrk-note" });

  function trace(now) {
    now.last = Math.max(meta.steps, now.steps.at(-1), 1);
    ["network", "twin"].forEach((name, which) => { now[`loss_${name}`] = now.loss.filter((_, k) => k % 2 === which); });
    /* What a training comes to that diverges would leave nothing to see of what was before. */
    const { loss: all, values } = now, size = values.length / now.steps.length;
    const high = most(values.filter((_, k) => [0, 1].every((which) => all[2 * Math.floor(k / size) + which] < 10 * all[which])), 1e-9);
    charts.flat().forEach((chart) => chart.trace(now, high, [classes, classes]));
    loss.trace(now);
  }

  /* Both networks' numbers, a layer behind the other. */
  function paintTiles(now, at) {
    const count = layers.length, of = (name, which) => Array.from({ length: count }, (_, i) => now[name][at * 2 * count + which * count + i]);
    const both = (name, form) => [0, 1].map((which) => of(name, which).map(form).join(" · "));
    const moved = both("moved", f.percent), resting = both("resting", f.whole), [network, twin] = [now.accuracy[2 * at], now.accuracy[2 * at + 1]];
    const interval = (which) => fill(t.interval, {
      low: f.percent1(now.accuracy_low[2 * at + which]), high: f.percent1(now.accuracy_high[2 * at + which]), n: f.whole(meta.n_looked_at) });
    tiles.accuracy.show("measured", t.measured, f.percent1(network), interval(0), fill(t.twin_is, { twin: `${f.percent1(twin)} ${interval(1)}` }));
    tiles.moved.show("exact", "", moved[0], fill(t.twin_is, { twin: moved[1] }), fill(t.moved_line, { directions: 2 * classes }));
    tiles.resting.show("exact", "", resting[0], fill(t.twin_is, { twin: resting[1] }), t.resting_line);
    tiles.loss.show("exact", "", f.two(now.loss[2 * at]), fill(t.twin_is, { twin: f.two(now.loss[2 * at + 1]) }), fill(t.loss_line, { n: f.whole(meta.n_train) }));
  }

  function paintControls() {
    const state = model.get("state"), { done = 0, total = meta.steps } = model.get("progress");
    selects.forEach(({ draw }) => draw());
    write(main, t[command()]);
    again.hidden = !["paused", "running"].includes(state);
    mark(bar, { max: total || 1, value: state === "finished" ? total : done });
    write(status, t[state] + (["running", "paused"].includes(state) ? ` · ${f.percent(done / (total || 1))}` : ""));
    const later = state !== "ready" && Object.keys(CHOICES).some((name) => setting()[name] !== meta[name]);
    write(words, later ? t.later : "");
    write(note, model.get("fault"));
  }

  function paint() {
    const started = performance.now(), now = film(), at = index();
    if (seen.version !== store.version) trace(now);
    seen.version = store.version;
    paintControls();
    const place = time.place() ?? now.steps[at], total = f.whole(Math.max(meta.steps, now.steps.at(-1)));
    const text = fill(t.step_of, { step: f.whole(now.steps[at]), total });
    const spoken = `${fill(t.entry_of, { entry: at + 1, count: now.steps.length })}, ${text}`;
    time.draw(at, Math.max(meta.expected, now.steps.length), text, fill(t.step_of, { step: total, total }), spoken, setting().at === null);
    charts.flat().forEach((chart, i) => chart.draw(fill(t.resting_of, { n: f.whole(now.resting[at * 2 * layers.length + i]) }), place, false));
    loss.draw(now, at, place);
    paintTiles(now, at);
    el.dataset.paint = (performance.now() - started).toFixed(2);
  }

  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" },
      h("div", {}, h("h2", {}, meta.name), h("p", {}, fill(t.subtitle, { n: f.whole(meta.n_train) }))), h("nav", {}, button(t.language, speak.language))),
    h("div", { class: "lrk-drive" }, h("div", { class: "lrk-buttons" }, main, again), h("div", { class: "lrk-progress" }, status, bar)),
    h("div", { class: "lrk-knobs" }, ...selects.map(({ node }) => node)), words,
    h("div", { class: "lrk-tiles" }, ...Object.values(tiles).map(({ node }) => node)), time.node,
    h("div", { class: "lrk-kinds" }, ...rows, h("section", {}, loss.node)), note);
  paint();
  return { refresh: ask, leave: () => time.halt() };
}

function render({ model, el }) {
  const store = { run: -1, film: null, version: 0, meta: null };
  /* Rows of a newer run begin anew; those of an older one come too late. */
  function hear(message, buffers) {
    if (message.run < store.run) return;
    const isNew = message.run > store.run;
    Object.assign(store, { run: message.run, film: longer(isNew ? null : store.film, message, buffers), version: store.version + 1 });
    if (message.kind === "begin") store.meta = message.words;
    return isNew && message.strings;
  }
  return mount({ model, el }, "lrk-live", ["setting", "state", "progress", "fault"], hear,
    (t, language) => buildView(model, el, store, t, language));
}

export default { render };
