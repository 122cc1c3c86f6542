/* The latency board: a rank over one layer of a network, what it does to time on every device, and why. Python sends
   the outlook of all layers for a network, method, batch and conditions; a slider only looks it up. */

const VERDICTS = ["faster", "launch", "tile", "memory", "compute"];

/* A device's layers out of a message's arrays, in which they stand one behind the other. */
function readDevice(words, arrays, d) {
  const starts = { rank: 0, place: 0, timed: 0 };
  const part = (name, kind, count) => arrays[`${name} ${d}`].subarray(starts[kind], starts[kind] + count);
  const layers = words.layers.map((layer) => {
    const { n, n_timed: timed, columns } = layer;
    const found = {
      ...layer,
      ranks: part("ranks", "place", n * columns),
      ...Object.fromEntries(["macs", "moved", "bound", "foretold", "verdicts"].map((name) => [name, part(name, "rank", n)])),
      ...Object.fromEntries(["timed", "medians", "lows", "highs"].map((name) => [name, part(name, "timed", timed)])),
    };
    starts.rank += n;
    starts.place += n * columns;
    starts.timed += timed;
    return { ...found, at: (share) => nearest(found, share), rankOf: (share) => rankOf(found, share) };
  });
  return { ...words, layers };
}

/* The index of the rank nearest to a share of the full one. */
function nearest({ ranks, columns, full, n }, share) {
  let best = 0;
  for (let i = 1; i < n; i++)
    if (Math.abs(ranks[i * columns] / full[0] - share) < Math.abs(ranks[best * columns] / full[0] - share)) best = i;
  return best;
}

/* The rank at which the multiply-adds are this share of the dense layer's. */
function rankOf({ ranks, columns, macs, dense, n }, share) {
  const wanted = share * dense.macs, i = macs.findIndex((v) => v >= wanted);
  if (i <= 0) return ranks[i ? (n - 1) * columns : 0];
  const [before, after] = [ranks[(i - 1) * columns], ranks[i * columns]];
  return before + ((wanted - macs[i - 1]) / (macs[i] - macs[i - 1])) * (after - before);
}

function buildView(model, el, film, t, language) {
  const f = numbers(language), setting = () => model.get("setting");
  const seen = { version: -1, layer: null };
  let panels = [];

  const change = (next, final = true) => {
    write(note, "");
    model.set("setting", { ...setting(), ...next, final });
    model.save_changes();
    ask();
  };
  const first = () => film.devices[0], layerOf = (device) => device.layers.find((l) => l.name === setting().layer) ?? device.layers[0];
  const shareNow = () => setting().rank / layerOf(first()).full[0];
  const settle = () => { if (!setting().final) change({}); };
  /* Of a full rank of 1 there is no other. */
  const most = (l) => Math.max(l.full[0] - 1, 1);
  const rankTo = (rank, final) => change({ rank: Math.min(Math.max(rank, 1), most(layerOf(first()))) }, final);
  /* Another layer at the same share of its ranks. */
  const toLayer = (name) => {
    const next = first().layers.find((l) => l.name === name);
    change({ layer: name, rank: Math.min(Math.max(Math.round(shareNow() * next.full[0]), 1), most(next)) });
  };
  const typed = (text) => {
    const l = layerOf(first()), rank = Number(text);
    if (text !== "" && Number.isInteger(rank) && rank >= 1 && rank <= most(l)) return rankTo(rank, true);
    write(note, fill(t.rank_rule, { name: l.name, full: most(l), value: text || "–" }));
    ask();
  };

  const options = (pairs) => pairs.map(([value, text]) => h("option", { value }, text));
  const choice = (name, pairs, onchange) => {
    const select = h("select", { onchange: () => onchange(select.value) }, ...options(pairs));
    return { select, node: h("label", {}, h("span", {}, t[name]), select) };
  };
  const network = choice("network", film.networks.map((n) => [n, n]), (value) => change({ network: value, layer: null }));
  const layer = choice("layer", [], toLayer);
  const method = choice("method", film.methods.map((m) => [m, t[m]]), (value) => change({ method: value, layer: setting().layer }));
  const batch = choice("batch", [], (value) => change({ batch: +value }));
  const range = slider(t.rank, "rank", [1, 2], [1, 2, 1], t, (rank) => rankTo(rank, false), settle, typed);
  const facts = h("span", { class: "lrk-share" });
  const top = { macs: tile(t.macs), here: tile(t.here) };
  const tiles = h("div", { class: "lrk-tiles" }), devices = h("div", { class: "lrk-devices" });
  const note = h("p", { class: "lrk-note", role: "status" }), spoken = h("p", { class: "lrk-spoken", role: "status" });
  const subtitle = h("p"), heading = h("h2");
  const ask = oncePerFrame(() => paint());

  function panelOf(device, d) {
    const conditions = choice("conditions", device.conditions.map((text, i) => [i, text]), (value) => {
      change({ conditions: setting().conditions.map((c, k) => (k === d ? +value : c)) });
    });
    conditions.select.value = device.chosen;
    mark(conditions.select, { "aria-label": `${t.conditions}, ${device.device}` });
    const { n, off } = device.judged, trust = n ? ` · ${fill(t.trust, { n, off: f.percent(off) })}` : "";
    const verdict = h("p", { class: "lrk-judged" });
    const stairs = staircaseChart(t, f, (rank) => (rank ? rankTo(rank, false) : settle())), roof = rooflineChart(t, f);
    const strip = stripChart(t, f, device, toLayer);
    const foretold = tile(device.device), recorded = tile(device.device);
    const key = (kind, text) => h("span", { class: `lrk-key lrk-key-${kind}` }, text);
    const node = h("section", { class: "lrk-device" },
      h("header", {}, h("div", {}, h("h3", {}, device.device), h("p", {}, fill(t.device_line, device), trust)), conditions.node),
      verdict, h("div", { class: "lrk-pictures" }, stairs.node, roof.node),
      h("p", { class: "lrk-facts" }, key("foretold", t.legend_foretold), key("bound", t.legend_bound), key("timed", t.legend_timed),
        key("now", t.legend_now), key("narrow", t.legend_narrow)), strip.node);

    function choose() {
      stairs.choose(layerOf(device));
      roof.choose(layerOf(device), device.roof);
    }
    function draw(share) {
      const l = layerOf(device), index = l.at(share), name = VERDICTS[l.verdicts[index]];
      mark(verdict, { "data-verdict": name });
      write(verdict, fill(t[`verdict_${name}`], device));
      stairs.draw(index);
      roof.draw(index);
      strip.draw(share, l.name);
      const bound = fill(t.bound_is, { x: f.two(l.dense.bound / l.bound[index]) });
      const instead = fill(t.instead, { time: timeText(l.foretold[index], f), dense: timeText(l.dense.foretold, f) });
      foretold.show("predicted", t.predicted, pace(l.dense.foretold / l.foretold[index], t, f), instead, bound);
      showRecorded(l, index);
    }
    function showRecorded(l, index) {
      if (!l.dense.timed || !l.timed.length) return recorded.show("waiting", "", "–", t.not_recorded);
      const shareAt = (i) => l.ranks[i * l.columns] / l.full[0];
      const k = l.timed.reduce((best, i, j) => (Math.abs(shareAt(i) - shareAt(index)) < Math.abs(shareAt(l.timed[best]) - shareAt(index)) ? j : best), 0);
      const time = l.medians[k], dense = l.dense.timed[0];
      const where = l.timed[k] === index ? "" : fill(t.nearest, { rank: rankText(l, l.timed[k]) });
      recorded.show("recorded", fill(t.recorded, device), pace(dense / time, t, f), fill(t.instead, { time: timeText(time, f), dense: timeText(dense, f) }), where);
    }
    return { node, tiles: [foretold.node, recorded.node], select: conditions.select, choose, draw };
  }

  const rankText = (l, index) => (l.columns > 1
    ? fill(t.pair_of, { rank: l.ranks[2 * index], inputs: l.ranks[2 * index + 1] })
    : fill(t.rank_of, { rank: l.ranks[index], full: l.full[0] }));

  function rebuild() {
    const held = panels.findIndex((p) => p.select === document.activeElement);
    panels = film.devices.map(panelOf);
    tiles.replaceChildren(top.macs.node, top.here.node, ...panels.flatMap((p) => p.tiles));
    devices.replaceChildren(...panels.map((p) => p.node));
    panels[held]?.select.focus();
    layer.select.replaceChildren(...options(first().layers.map((l) => [l.name, nameOf(l, t)])));
    batch.select.replaceChildren(...options(film.batches.map((b) => [b, f.whole(b)])));
    network.select.value = film.network;
    method.select.value = setting().method;
    batch.select.value = setting().batch;
  }

  function paint() {
    const started = performance.now();
    if (seen.version !== film.version) rebuild();
    const l = layerOf(first()), full = l.full[0], { rank } = setting(), share = rank / full, index = l.at(share);
    if (seen.version !== film.version || seen.layer !== l.name) {
      panels.forEach((p) => p.choose());
      layer.select.value = l.name;
      for (const input of [range.range, range.typed]) input.max = most(l);
      write(heading, fill(t.title_one, { network: film.network }));
      write(subtitle, fill(t.subtitle, { layer: l.name }));
    }
    Object.assign(seen, { version: film.version, layer: l.name });
    range.draw(rank, rank, (rank - 1) / Math.max(full - 2, 1), rankText(l, index));
    write(facts, `${rankText(l, index)} · ${f.percent(share)}`);
    const of = (part, total, key) => fill(t[key], { part: f.compact(part), total: f.compact(total) });
    top.macs.show("exact", "", fewer(l.dense.macs / l.macs[index], t, f), of(l.macs[index], l.dense.macs, "macs_of"),
      of(l.moved[index], l.dense.moved, "moved_of"));
    panels.forEach((p) => p.draw(share));
    paintHere();
    el.dataset.paint = (performance.now() - started).toFixed(2);
  }

  /* What was timed on this machine, of exactly what is shown. */
  function paintHere() {
    const found = model.get("finding"), now = setting();
    const fits = ["network", "layer", "method", "batch", "rank"].every((key) => found[key] === now[key]);
    if (!now.final || !fits) return top.here.show("waiting", "", "–", now.final ? t.measuring : t.pending);
    if (!found.median_s) return top.here.show("waiting", "", "–", t.too_much);
    const badge = found.busy ? fill(t.measured_busy, { share: f.percent(found.busy) }) : t.measured;
    const [low, high] = found.interval.map(f.two), value = pace(found.speedup, t, f);
    const times = fill(t.instead, { time: timeText(found.median_s, f), dense: timeText(found.dense_s, f) });
    top.here.show(found.busy ? "busy" : "measured", badge, value, times, fill(t.interval, { ...found, low, high }));
    write(spoken, `${t.here}: ${value}. ${times}`);
  }

  const turn = () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); };
  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" }, h("div", {}, heading, subtitle), h("nav", {}, button(t.language, turn))),
    h("div", { class: "lrk-choices" }, network.node, layer.node, method.node, batch.node),
    h("div", { class: "lrk-row lrk-rankrow" }, h("b", {}, t.rank), range.range, range.typed, facts),
    tiles, devices, note, spoken);
  paint();
  return { refresh: ask, fault: () => write(note, model.get("fault")) };
}

function render({ model, el }) {
  let view = null, spoken = null;
  const film = { version: 0 };
  const live = h("style", {}, `#${model.get("still_id")} { display: none }`);
  const build = () => { view = buildView(model, el, film, spoken[model.get("language")], model.get("language")); };

  function hear({ kind, words, strings, arrays }, buffers) {
    if (kind !== "outlooks") return;
    const found = unpack(arrays, buffers), isFirst = !film.version;
    Object.assign(film, words, { version: film.version + 1, devices: words.devices.map((device, d) => readDevice(device, found, d)) });
    spoken = strings ?? spoken;
    if (!isFirst) return view.refresh();
    build();
    document.head.append(live);
    requestAnimationFrame(() => setTimeout(() => model.send({ kind: "painted" })));
  }
  const refresh = () => view?.refresh();
  const changed = {
    "msg:custom": hear, "change:setting": refresh, "change:finding": refresh, "change:fault": () => view?.fault(),
    "change:language": () => film.version && build(),
  };
  for (const [name, act] of Object.entries(changed)) model.on(name, act);
  el.classList.add("lrk", "lrk-latency");
  /* Keys on a slider are the slider's: JupyterLab binds arrows, Enter and letters to its cells. */
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  model.send({ kind: "hello" });
  return () => {
    live.remove();
    for (const [name, act] of Object.entries(changed)) model.off(name, act);
  };
}

export default { render };
