/* The training player: it holds every row it was sent, so that scrubbing asks the kernel for nothing. */

const TOLERANCES = { low: 0.01, high: 0.6, steps: 100 };
/* Fewer added directions than this share of them outlive a truncation where bases are frozen; so many are looked at. */
const FROZEN = 0.01;
const ENOUGH = 3;

/* Rows out of a message's buffers: numbers, ranks and shares kept of all layers and modes, and their singular values. */
function readRows({ count, scalars }, buffers, size) {
  const bytes = buffers.map((view) => view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const numbers = new Float64Array(bytes[0]), grids = new Float32Array(bytes[1]);
  const counts = new Int32Array(bytes[2]), values = new Float32Array(bytes[3]);
  let from = 0;
  return Array.from({ length: count }, (_, i) => {
    const row = Object.fromEntries(scalars.map((name, k) => [name, numbers[i * scalars.length + k]]));
    row.ranks = grids.subarray(2 * i * size, (2 * i + 1) * size);
    row.kept = grids.subarray((2 * i + 1) * size, 2 * (i + 1) * size);
    row.values = Array.from(counts.subarray(i * size, (i + 1) * size), (n) => values.subarray(from, (from += n)));
    return row;
  });
}

/* What all rows say together, which changes only with them. */
function overlook(rows, meta) {
  const { layers, columns } = meta, tops = layers.map(() => 1e-9), widest = layers.map(() => Array(columns).fill(1));
  let frozen = true, cuts = 0, before = null;
  rows.forEach((row, i) => {
    const known = row.kept.filter((v) => !isNaN(v));
    if (known.length) cuts += 1;
    if (Math.max(...known, 0) >= FROZEN || (before && row.ranks.some((v, k) => v > before[k]))) frozen = false;
    row.frozen = frozen && cuts >= ENOUGH;
    row.share = known.length ? known.reduce((sum, v) => sum + v, 0) / known.length : NaN;
    row.looked = isNaN(row.accuracy) ? (rows[i - 1]?.looked ?? -1) : i;
    row.values.forEach((values, k) => {
      const layer = Math.floor(k / columns);
      if (values.length) tops[layer] = Math.max(tops[layer], values[0]);
      widest[layer][k % columns] = Math.max(widest[layer][k % columns], values.length);
    });
    before = row.ranks;
  });
  const settings = (row) => `${row.tolerance} ${row.ceiling}`;
  const cut = rows.filter((row) => !isNaN(row.tolerance));
  const changes = cut.filter((row, i) => i && settings(row) !== settings(cut[i - 1])).map((row) => row.step);
  return { tops, widest, changes, last: Math.max(meta.total ?? 0, rows.at(-1)?.step ?? 0, 1) };
}

/* The ceilings a slider stops at, up to the largest rank there can be; beyond the last one there is none. */
function ceilingsOf(layers) {
  const most = Math.max(...layers.map((l) => (l.matrix ? Math.min(...l.limits) : Math.max(...l.limits))), 2);
  const stops = [2, 3];
  while (stops.at(-1) < most) stops.push(2 * stops.at(-2));
  return stops.filter((v) => v < most);
}

function buildView(model, el, film, t, language) {
  const f = numbers(language), { meta } = film, { layers, columns } = meta;
  const recorded = model.get("state") === "recorded", kind = recorded ? "recorded" : "measured";
  const setting = () => model.get("setting");
  const seen = { rows: -1 };
  let all = null;

  const index = () => Math.min(setting().at ?? Infinity, film.rows.length - 1);
  const bulk = (l) => (l.matrix ? 1 : 1e6) * l.limits.reduce((a, b) => a * b, 1);
  const largest = layers.reduce((best, l) => (!best || bulk(l) > bulk(best) ? l : best), null);
  const chosen = () => Math.max(layers.findIndex((l) => l.name === (setting().layer ?? largest?.name)), 0);

  /* A change that a hand still makes is not `final`: no picture is drawn of it for pages without a kernel. */
  const change = (next, final = true) => {
    model.set("setting", { ...setting(), ...next, final });
    model.save_changes();
    ask();
  };
  const settle = () => { if (!setting().final) change({}); };
  const act = {
    settle,
    layer: (name) => change({ layer: name }),
    scrub: (step, final) => time.scrub(step, final),
    /* A change that still waits for the kernel's answer to the one before it arrives after the command: it must agree. */
    command: (name) => {
      if (name === "restart") time.to(Infinity);
      model.send({ kind: name });
    },
    language: () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); },
  };

  const COMMANDS = { ready: "start", running: "pause", paused: "resume" };
  const command = () => COMMANDS[model.get("state")] ?? "restart";
  const main = h("button", { type: "button", class: "lrk-main", onclick: () => act.command(command()) });
  const cancel = button(t.cancel, () => act.command("cancel"));
  const again = button(t.restart, () => act.command("restart"));
  const bar = h("progress", { "aria-label": t.progress }), status = h("span", { class: "lrk-status" });

  const ceilings = ceilingsOf(layers), span = Math.log(TOLERANCES.high / TOLERANCES.low);
  const toleranceAt = (v) => +(TOLERANCES.low * Math.exp((span * v) / TOLERANCES.steps)).toPrecision(2);
  const slider = (label, name, max, move) => {
    const range = h("input", {
      type: "range", min: 0, max, step: 1, "aria-label": label, "data-layer": name, ...onRange(() => move(+range.value), settle),
    });
    const shown = h("output", { "aria-live": "off" });
    const node = h("div", { class: "lrk-row" }, h("b", {}, label), range, shown);
    const draw = (value, text, spoken) => {
      if (+range.value !== value) range.value = value;
      node.style.setProperty("--at", `${(100 * value) / max}%`);
      write(shown, text);
      mark(range, { "aria-valuetext": spoken });
    };
    return { node, draw };
  };
  const tolerance = slider(t.tolerance, "tolerance", TOLERANCES.steps, (v) => change({ tolerance: toleranceAt(v) }, false));
  const ceiling = slider(t.ceiling, "ceiling", Math.max(ceilings.length, 1), (v) => change({ ceiling: ceilings[v] ?? null }, false));

  const time = transport({
    t, f, index, settle, steps: () => film.rows.map((row) => row.step), go: (at, final) => change({ at }, final),
    ask: () => ask(), isThere: () => el.isConnected,
  });
  const tiles = { params: tile(t.params), validation: tile(t.validation), test: tile(t.test), kept: tile(t.kept) };
  const rankCharts = layers.map((layer, i) => rankChart(layer, i, t, f, act, i === layers.length - 1));
  const loss = lossChart(t, f, act), accuracy = accuracyChart(t, f, act);
  const spectra = Array.from({ length: columns }, (_, mode) => spectrumChart(mode, t, f));
  const note = h("p", { class: "lrk-note" }), spoken = h("p", { class: "lrk-spoken", role: "status" });
  const words = h("p", { class: "lrk-words", role: "status" });
  const ask = oncePerFrame(() => paint());

  function paintControls() {
    const { tolerance: now, ceiling: most } = setting(), state = model.get("state"), { done = 0, total = meta.total } = model.get("progress");
    const place = Math.round((TOLERANCES.steps * Math.log(now / TOLERANCES.low)) / span);
    tolerance.draw(Math.min(Math.max(place, 0), TOLERANCES.steps), f.two(now), fill(t.tolerance_spoken, { error: f.percent1(now) }));
    const stop = most === null ? ceilings.length : ceilings.findIndex((v) => v >= most);
    const text = most === null ? t.no_ceiling : f.whole(most);
    ceiling.draw(stop < 0 ? ceilings.length : stop, text, text);
    write(main, t[command()]);
    cancel.hidden = !["running", "paused"].includes(state);
    again.hidden = state !== "paused";
    mark(bar, { max: total || 1, value: state === "finished" ? total : done });
    const share = state === "running" || state === "paused" ? ` · ${f.percent(total ? done / total : 0)}` : "";
    write(status, t[state] + share);
    if (seen.state !== undefined && seen.state !== state) write(spoken, t[state]);
    seen.state = state;
  }

  function paintTime(row, at) {
    const count = film.rows.length, total = f.whole(all.last), stepOf = (step) => fill(t.step_of, { step: f.whole(step), total });
    const epochOf = (step) => (meta.epochs && meta.total
      ? ` · ${fill(t.epoch, { epoch: f.one((step * meta.epochs) / meta.total), epochs: meta.epochs })}` : "");
    const text = row ? stepOf(row.step) + epochOf(row.step) : t.nothing_yet;
    const spoken = row ? `${fill(t.entry_of, { entry: at + 1, count })}, ${stepOf(row.step)}` : t.nothing_yet;
    time.draw(at, Math.max(meta.expected, count), text, stepOf(all.last) + epochOf(all.last), spoken, setting().at === null);
  }

  function paintTiles(row) {
    const size = row?.size >= 0 ? row.size : NaN, { n_dense: dense, n_params: whole } = meta;
    const of = (part, total, key) => (total ? fill(t[key], { share: f.percent1(part / total), total: f.whole(total) }) : "");
    if (isNaN(size)) tiles.params.show("waiting", "", "–", of(dense, dense, "params_dense"));
    else tiles.params.show("exact", "", f.whole(size), of(size, dense, "params_of"), of(whole - dense + size, whole, "params_whole"));
    const looked = film.rows[row?.looked ?? -1], ends = looked && { low: f.percent1(looked.low), high: f.percent1(looked.high) };
    const interval = !looked || isNaN(looked.low) ? "" : fill(meta.n_looked_at ? t.interval : t.interval_bare, { ...ends, n: meta.n_looked_at });
    const lines = [interval, looked && fill(t.at_step, { step: f.whole(looked.step) })].filter(Boolean);
    if (looked) tiles.validation.show(kind, t[kind], f.percent1(looked.accuracy), ...lines);
    else tiles.validation.show("waiting", "", "–", t.validation_pending);
    paintOutcome(model.get("outcome"));
    const share = !row || isNaN(row.share) ? "–" : row.share && row.share < 1e-3 ? t.hardly_any : f.percent1(row.share);
    const settings = row && !isNaN(row.tolerance) ? fill(t.settings, {
      tolerance: f.two(row.tolerance), ceiling: row.ceiling > 0 ? f.whole(row.ceiling) : t.no_ceiling }) : "";
    tiles.kept.show(share === "–" ? "waiting" : "exact", "", share, row?.frozen ? t.frozen_short : t.kept_of, settings);
    return looked ? `${t.validation} ${f.percent1(looked.accuracy)}` : t.validation;
  }

  function paintOutcome({ accuracy: found, interval, n, n_params, change: moved }) {
    if (found === undefined) return tiles.test.show("waiting", "", "–", recorded ? t.test_unknown : t.test_pending);
    const [low, high] = interval.map(f.percent1), points = (moved ?? []).map(f.points);
    const against = moved ? fill(t.change, { delta: points[0], low: points[1], high: points[2] }) : fill(t.in_plain, { n: f.whole(n_params) });
    tiles.test.show(kind, t[kind], f.percent1(found), fill(t.interval, { low, high, n: f.whole(n) }), against);
  }

  function paintSpectra(row) {
    const at = chosen(), layer = layers[at];
    spectra.forEach((chart, mode) => {
      const values = row?.values[at * columns + mode] ?? [], rank = row?.ranks[at * columns + mode];
      chart.node.hidden = !layer || mode >= (layer.matrix ? 1 : layer.limits.length);
      if (chart.node.hidden) return;
      const axes = `${at} ${all.widest[at][mode]} ${all.tops[at]}`;
      if (chart.axes !== axes) chart.scale(all.widest[at][mode], all.tops[at]);
      chart.axes = axes;
      const name = layer.matrix ? fill(t.spectrum_matrix, { layer: layer.name }) : fill(t.spectrum, { layer: layer.name, mode: t[MODES[mode]] });
      chart.draw(values, rank || 0, name);
    });
  }

  function paint() {
    const started = performance.now();
    if (seen.rows !== film.version) {
      all = overlook(film.rows, meta);
      for (const chart of rankCharts) chart.trace(film.rows, columns, all.last, all.changes);
      loss.trace(film.rows, all.last, all.changes);
      accuracy.trace(film.rows, all.last, all.changes);
      seen.rows = film.version;
    }
    const at = index(), row = film.rows[at], place = time.place() ?? row?.step ?? NaN;
    if (!recorded) paintControls();
    paintTime(row, at);
    const said = paintTiles(row);
    rankCharts.forEach((chart, i) => chart.draw(row, columns, place, i === chosen()));
    loss.draw(row, place);
    accuracy.draw(said, place);
    paintSpectra(row);
    const { undone } = model.get("progress");
    const warnings = [row?.frozen ? t.frozen : "", undone ? fill(undone > 1 ? t.undone : t.undone_one, { n: undone }) : ""];
    write(words, warnings.filter(Boolean).join(" "));
    write(note, model.get("fault"));
    el.dataset.paint = (performance.now() - started).toFixed(2);
  }

  const live = h("div", { class: "lrk-drive" },
    h("div", { class: "lrk-buttons" }, main, cancel, again),
    h("div", { class: "lrk-progress" }, status, bar), tolerance.node, ceiling.node);
  const subtitle = recorded ? fill(meta.recorded ? t.subtitle_recorded : t.subtitle_played, { recorded: meta.recorded })
    : fill(meta.epochs > 1 ? t.subtitle : t.subtitle_one, { epochs: meta.epochs, n: f.whole(meta.n_train) });
  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" },
      h("div", {}, h("h2", {}, meta.name), h("p", {}, subtitle)), h("nav", {}, button(t.language, act.language))),
    ...(recorded ? [] : [live]),
    h("div", { class: "lrk-tiles" }, ...Object.values(tiles).map(({ node }) => node)),
    time.node,
    h("div", { class: "lrk-panels" },
      h("div", { class: "lrk-ranks" }, ...rankCharts.map(({ node }) => node)),
      h("div", {}, loss.node, accuracy.node),
      h("div", {}, ...spectra.map(({ node }) => node))),
    words, note, spoken);
  paint();
  return { refresh: ask, leave: () => time.halt() };
}

function render({ model, el }) {
  const film = { run: -1, rows: [], version: 0, meta: null };
  /* Rows of a newer run begin anew; those of an older one come too late. */
  function hear(message, buffers) {
    if (message.run < film.run) return;
    if (message.run > film.run) Object.assign(film, { run: message.run, rows: [] });
    readRows(message, buffers, message.size).forEach((row, i) => { film.rows[message.start + i] = row; });
    film.version += 1;
    if (message.kind !== "begin" || film.meta) return;
    film.meta = message.words;
    return message.strings;
  }
  return mount({ model, el }, "lrk-training", ["setting", "state", "progress", "outcome", "fault"], hear,
    (t, language) => buildView(model, el, film, t, language));
}

export default { render };
