/* The rank board. It indexes and sums the tables Python sent, and draws; nothing is computed anew. */

const HAND = { rule: "hand", budget: null, cost: null };
const BATCHES = [1, 32, 256];
const PATIENCE_MS = 20000;

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

function tile(title) {
  const badge = h("span", { class: "lrk-badge" });
  const value = h("div", { class: "lrk-value" });
  const lines = [h("div", { class: "lrk-line" }), h("div", { class: "lrk-line" })];
  const node = h("section", { class: "lrk-tile" }, h("header", {}, h("h3", {}, title), badge), value, ...lines);
  const show = (kind, badgeText, valueText, ...texts) => {
    if (node.dataset.kind !== kind) node.dataset.kind = kind;
    write(badge, badgeText);
    write(value, valueText);
    lines.forEach((line, i) => {
      write(line, texts[i] ?? "");
      if (line.title !== line.lrkText) line.title = line.lrkText;
    });
  };
  return { node, show };
}

/* Events of a range input: `move` while a hand is on it, `settle` when it is let go. A browser tells no change where
   the value has come back to what it was, so the end of a press, a key or the focus settles too. */
const onRange = (move, settle) => ({
  oninput: move, onchange: settle, onpointerup: settle, onkeyup: settle, onblur: settle,
});

function sliderRow(layer, index, t, f, act) {
  const label = fill(t.layer_rank, { layer: layer.name });
  const range = h("input", {
    type: "range", min: 1, max: layer.full, step: 1, "aria-label": label, "data-layer": layer.name,
    ...onRange(() => act.rank(index, +range.value), act.settle), onfocus: () => act.choose(index),
  });
  const typed = h("input", {
    type: "number", min: 1, max: layer.full, step: 1, "aria-label": `${label}: ${t.type_in}`, inputmode: "numeric",
    onchange: () => act.typed(index, typed.value), onfocus: () => act.choose(index),
  });
  const share = h("span", { class: "lrk-share" });
  const times = layer.groups > 1 ? `${layer.groups} × ` : "";
  const name = [h("b", {}, nameParts(layer.name)[1]), h("small", {}, times + layer.shape.join(" × "))];
  if (layer.is_head) name.push(h("small", {}, t.head));
  const node = h("div", { class: "lrk-row", onpointerdown: () => act.choose(index) },
    h("div", { class: "lrk-name", title: layer.name }, ...name), range, typed, share);
  node.style.setProperty("--even", `${(100 * layer.breakEven) / layer.full}%`);

  function draw(rank) {
    if (+range.value !== rank) range.value = rank;
    if (typed.dataset.rank !== String(rank) || document.activeElement !== typed) typed.value = rank;
    typed.dataset.rank = rank;
    const dense = rank > layer.breakEven;
    const text = dense ? t.dense : f.percent((rank * layer.perRank.params) / layer.costs.params);
    node.style.setProperty("--at", `${(100 * (rank - 1)) / Math.max(layer.full - 1, 1)}%`);
    if (node.dataset.dense !== String(dense)) node.dataset.dense = dense;
    write(share, text);
    mark(range, { "aria-valuetext": `${fill(t.rank_of, { rank, full: layer.full })}, ${text}` });
  }
  return { node, draw, select: (on) => node.classList.toggle("lrk-chosen", on) };
}

/* The block a layer stands in, and its name there: the last two words, or the last where there are but two. */
function nameParts(name) {
  const words = name.split("."), own = words.splice(words.length > 2 ? -2 : -1);
  return [words.join("."), own.join(".")];
}

/* Rows under the names of their blocks. */
function grouped(rows, layers) {
  let last = "";
  return rows.flatMap((row, i) => {
    const [block] = nameParts(layers[i].name), title = block && block !== last ? [h("h4", {}, block)] : [];
    last = block;
    return [...title, row.node];
  });
}

/* The budget: a share of the parameters or multiply-adds, the rule that spreads it, a slider and a number. */
function budgetRows(t, f, tables, state, act) {
  const select = (name, options, onchange) =>
    h("select", { "aria-label": name, onchange }, ...options.map(([value, text]) => h("option", { value }, text)));
  const label = t.budget;
  const share = h("small");
  const range = h("input", {
    type: "range", min: 0, max: 1000, step: 1, "aria-label": label, "data-layer": "budget",
    ...onRange(() => act.budget(+range.value), act.settle),
  });
  const typed = h("input", {
    type: "number", min: 0, max: 100, step: 0.1, "aria-label": `${label}: ${t.type_in}`,
    onchange: () => act.typedBudget(typed.value),
  });
  const cost = select(t.cost, [["params", t.of_params], ["macs", t.of_macs]], () => act.cost(cost.value));
  const rule = select(t.rule, [["energy", t.rule_energy], ["uniform", t.rule_uniform]], () => act.rule(rule.value));
  cost.value = state.cost;
  rule.value = state.rule;
  const keep = h("div", { class: "lrk-row lrk-budget" },
    h("div", { class: "lrk-name" }, h("b", {}, t.budget), share, h("small", {}, cost)),
    range, typed, h("span", { class: "lrk-share" }, "%"));

  /* The slider stays where it was put; the number says what the ranks really keep. */
  function draw(kept) {
    const lowest = Math.ceil(1000 * tables.cheapest(state.rule, state.cost));
    const at = Math.round(1000 * (state.origin?.budget ?? kept));
    mark(range, { min: lowest, "aria-valuetext": `${f.percent1(kept)} ${t[`of_${state.cost}`]}` });
    write(share, t[`share_of_${state.cost}`]);
    if (+range.value !== at) range.value = at;
    const text = (100 * kept).toFixed(1);
    if (typed.dataset.kept !== text || document.activeElement !== typed) typed.value = text;
    typed.dataset.kept = text;
    keep.style.setProperty("--at", `${(100 * (range.value - lowest)) / (1000 - lowest)}%`);
  }
  return { nodes: [keep, h("label", { class: "lrk-rule" }, h("span", {}, t.rule), rule)], draw };
}

/* One view of a board. `state` outlives it: a change of language builds the view anew. */
function buildView(model, el, tables, state, t, language) {
  const f = numbers(language);
  const tiles = { params: tile(t.params), macs: tile(t.macs), accuracy: tile(t.accuracy), latency: tile(t.latency) };
  const note = h("p", { class: "lrk-note", role: "status" });
  const spoken = h("p", { class: "lrk-spoken", role: "status" });
  const say = (text) => write(note, text);

  /* What was measured of the ranks as they stand; nothing while a hand moves them. */
  const found = () => {
    const finding = model.get("finding");
    return !state.hand && finding.ranks && same(finding.ranks, state.ranks) ? finding : null;
  };

  const paint = () => {
    const started = performance.now(), { ranks } = state;
    const params = tables.paramsAt(ranks), macs = tables.macsAt(ranks), kept = tables.kept(ranks, state.cost);
    const predicted = tables.predict(ranks), error = tables.predictionError(predicted), finding = found();
    const ofTotal = (part, total, form) => fill(t.of_total, { share: f.percent1(part / total), total: form(total) });
    tiles.params.show("exact", "", f.whole(params), ofTotal(params, tables.n_params, f.whole), t.params_of);
    tiles.macs.show("exact", "", f.compact(macs), ofTotal(macs, tables.macs, f.compact), t.macs_of);
    if (finding) showAccuracy(finding);
    else showPrediction(predicted, error);
    if (finding?.latency?.batch === model.get("batch")) showLatency(finding.latency);
    else tiles.latency.show("waiting", "", "–", state.hand ? t.latency_pending : t.latency_measuring);
    rows.forEach((row, i) => row.draw(ranks[i]));
    budget.draw(kept);
    spectrum.draw(ranks[state.chosen]);
    trade.draw(kept, predicted - tables.accuracy, error);
    if (state.unsent) send();
    el.dataset.paint = (performance.now() - started).toFixed(2);
  };
  const ask = oncePerFrame(paint);

  function showPrediction(predicted, error) {
    const off = error === null ? t.off_unknown : fill(t.off_within, { error: f.one(100 * error), n: tables.tried });
    const badge = tables.isEstimate(state.ranks) ? t.estimated : t.predicted;
    const moved = fill(t.change_predicted, { delta: f.points(predicted - tables.accuracy) });
    tiles.accuracy.show("predicted", badge, f.percent1(predicted), moved, off);
  }

  function showAccuracy(finding) {
    const [delta, low, high] = finding.change.map(f.points), n = f.whole(finding.n);
    const badge = finding.stage === "first" ? fill(t.measured_first, { n }) : t.measured;
    const ends = { low: f.percent1(finding.interval[0]), high: f.percent1(finding.interval[1]), n };
    const accuracy = f.percent1(finding.accuracy), change = fill(t.change, { delta, low, high });
    tiles.accuracy.show("measured", badge, accuracy, change, fill(t.interval, ends));
    if (finding.stage === "latency") write(spoken, `${t.accuracy}, ${badge}: ${accuracy}. ${change}`);
  }

  function showLatency(latency) {
    const speedup = f.two(latency.speedup);
    const pace = speedup === f.two(1) ? t.same_pace : fill(latency.speedup < 1 ? t.slower : t.faster, { speedup });
    const conditions = fill(t.timed, { ...latency, dense: f.three(1e3 * latency.dense_s) });
    const badge = latency.busy ? fill(t.measured_busy, { share: f.percent(latency.busy) }) : t.measured;
    const time = fill(t.milliseconds, { time: f.three(1e3 * latency.median_s) });
    tiles.latency.show(latency.busy ? "busy" : "measured", badge, time, pace, conditions);
  }

  /* ipywidgets keeps one message in flight and sends the newest state when it has come back. */
  function send() {
    const setting = { ranks: state.ranks.slice(), final: !state.hand, ...(state.origin ?? HAND) };
    if (setting.final && state.before) {
      model.set("history", [...model.get("history"), state.before]);
      state.before = null;
    }
    model.set("setting", setting);
    model.save_changes();
    state.unsent = false;
    clearTimeout(state.patience);
    if (setting.final) state.patience = setTimeout(() => { if (!found()) say(t.waiting); }, PATIENCE_MS);
  }

  function move(ranks, origin = null) {
    say("");
    if (!state.hand) state.before = { ...model.get("setting"), final: false };
    Object.assign(state, { ranks, origin, hand: true, unsent: true });
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
    rank: (index, rank) => {
      act.choose(index);
      move(state.ranks.map((r, i) => (i === index ? rank : r)));
    },
    /* The hand has let go. */
    settle: () => {
      if (!state.hand) return;
      Object.assign(state, { hand: false, unsent: true });
      ask();
    },
    set: (ranks, origin = null) => { move(ranks, origin); act.settle(); },
    typed: (index, text) => {
      const rank = Number(text), { name, full } = tables.layers[index];
      const right = text !== "" && Number.isInteger(rank) && rank >= 1 && rank <= full;
      if (right) act.set(state.ranks.map((r, i) => (i === index ? rank : r)));
      else refuse(fill(t.rank_rule, { name, full, value: text || "–" }));
    },
    budget: (thousandth) => {
      const { rule, cost } = state;
      move(tables.budget(thousandth, rule, cost), { rule, cost, budget: thousandth / 1000 });
    },
    typedBudget: (text) => {
      const lowest = Math.ceil(1000 * tables.cheapest(state.rule, state.cost)) / 10;
      const right = text !== "" && +text >= lowest && +text <= 100;
      if (!right) return refuse(fill(t.budget_rule, { lowest: f.one(lowest), value: text || "–" }));
      act.budget(Math.round(10 * +text));
      act.settle();
    },
    cost: (cost) => {
      Object.assign(state, { cost, origin: null });
      remember();
      ask();
    },
    rule: (rule) => {
      const { cost } = state, kept = tables.kept(state.ranks, cost);
      state.rule = rule;
      const lowest = Math.ceil(1000 * tables.cheapest(rule, cost));
      act.budget(Math.max(Math.round(1000 * kept), lowest));
      act.settle();
    },
    undo: () => {
      const history = model.get("history");
      if (!history.length) return;
      const { ranks, rule, budget, cost } = history.at(-1);
      model.set("history", history.slice(0, -1));
      const origin = budget === null ? null : { rule, budget, cost };
      Object.assign(state, { ranks: ranks.slice(), origin, hand: false, before: null, unsent: true });
      ask();
    },
    reset: () => act.set(tables.full.slice()),
    copy: () => act.withPlan((plan) => navigator.clipboard.writeText(plan).then(() => say(t.copied), () => say(t.copy_refused))),
    download: () => act.withPlan((plan) => {
      const url = URL.createObjectURL(new Blob([plan], { type: "application/json" }));
      h("a", { href: url, download: `${tables.name}-plan.json` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    }),
    /* The kernel writes the plan; what it wrote before the last move is not handed out. */
    withPlan: (use) => {
      const plan = model.get("plan_json"), planned = JSON.parse(plan).layers;
      const isCurrent = tables.layers.every((l, i) => (planned[l.name]?.rank ?? l.full) === state.ranks[i]);
      if (isCurrent) use(plan);
      else say(t.waiting);
    },
    language: () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); },
    batch: () => { model.set("batch", +batch.value); model.save_changes(); ask(); },
  };

  /* A sentence for what can't be, and the numbers as they were. */
  function refuse(sentence) {
    say(sentence);
    ask();
  }

  const batches = [...new Set([...BATCHES, model.get("batch")])].sort((a, b) => a - b);
  const batch = h("select", { "aria-label": t.batch, onchange: act.batch },
    ...batches.map((n) => h("option", { value: n }, `${t.batch} ${n}`)));
  tiles.latency.node.querySelector("header").append(batch);
  const budget = budgetRows(t, f, tables, state, act);
  const rows = tables.layers.map((layer, i) => sliderRow(layer, i, t, f, act));
  const spectrum = spectrumChart(t, f, (rank, final) => {
    if (rank !== null) act.rank(state.chosen, rank);
    if (final) act.settle();
  });
  const trade = tradeChart(t, f);
  const remember = () => {
    const points = model.get("tried").map((p) => ({ kept: tables.kept(p.ranks, state.cost), change: p.change[0] }));
    trade.remember(points, state.cost);
  };
  const showBatch = () => { batch.value = model.get("batch"); ask(); };
  const button = (text, onclick) => h("button", { type: "button", onclick }, text);
  const subtitle = fill(tables.recorded ? t.subtitle_recorded : t.subtitle, {
    accuracy: f.percent1(tables.accuracy), n: f.whole(tables.n_examples), recorded: tables.recorded,
  });

  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" },
      h("div", {}, h("h2", {}, tables.name), h("p", {}, subtitle)),
      h("nav", {}, button(t.undo, act.undo), button(t.reset, act.reset), button(t.copy_plan, act.copy),
        button(t.download_plan, act.download), button(t.language, act.language))),
    h("div", { class: "lrk-tiles" }, ...Object.values(tiles).map(({ node }) => node)),
    h("div", { class: "lrk-body" },
      h("div", { class: "lrk-controls" }, ...budget.nodes,
        h("div", { class: "lrk-rows" }, ...grouped(rows, tables.layers))),
      h("div", { class: "lrk-charts" }, spectrum.node, trade.node)),
    note, spoken);
  spectrum.choose(tables.layers[state.chosen]);
  rows.forEach((row, i) => row.select(i === state.chosen));
  remember();
  showBatch();
  paint();

  return {
    /* Python moved the ranks, or another view did. A hand on this view wins. */
    setting: () => {
      const { ranks, budget: asked, rule, cost } = model.get("setting");
      if (state.hand || state.unsent) return;
      Object.assign(state, { ranks: ranks.slice(), origin: asked === null ? null : { rule, budget: asked, cost } });
      ask();
    },
    finding: ask,
    tried: remember,
    batch: showBatch,
    fault: () => { if (model.get("fault")) say(model.get("fault")); },
    progress: () => {
      const { done, total } = model.get("progress");
      say(done < total ? fill(t.curves, { done, total }) : "");
    },
    /* Better numbers for the same layers, also under a hand that is dragging. */
    refresh: ask,
  };
}

function render({ model, el }) {
  let view = null, tables = null, received = null, state = null;
  const live = h("style", {}, `#${model.get("still_id")} { display: none }`);

  const build = () => {
    const language = model.get("language");
    view = buildView(model, el, tables, state, received.strings[language], language);
  };
  const readAgain = () => Object.assign(tables ?? {}, readTables(received.words, received.arrays));
  const hear = (message, buffers) => {
    if (message.kind === "tables" && !received) {
      received = { words: message.words, strings: message.strings, arrays: unpack(message.arrays, buffers) };
      tables = readAgain();
      const widest = tables.layers.reduce((best, l, i) => (l.costs.params > tables.layers[best].costs.params ? i : best), 0);
      state = { ranks: model.get("setting").ranks.slice(), rule: "energy", cost: "params", chosen: widest, origin: null };
      build();
      /* A live board hides the still picture that stands for it where there is none. */
      document.head.append(live);
      requestAnimationFrame(() => setTimeout(() => model.send({ kind: "painted" })));
    } else if (message.kind === "curves" && received) {
      Object.assign(received.arrays, unpack(message.arrays, buffers));
      readAgain();
      view.refresh();
    }
  };
  const names = ["setting", "finding", "tried", "progress", "batch", "fault"];
  const changed = Object.fromEntries(names.map((name) => [name, () => view?.[name]()]));
  const language = () => received && build();
  model.on("msg:custom", hear);
  model.on("change:language", language);
  for (const name of names) model.on(`change:${name}`, changed[name]);
  el.classList.add("lrk");
  /* Keys on a slider are the slider's: JupyterLab binds arrows, Enter and letters to its cells. */
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  model.send({ kind: "hello" });
  return () => {
    live.remove();
    clearTimeout(state?.patience);
    model.off("msg:custom", hear);
    model.off("change:language", language);
    for (const name of names) model.off(`change:${name}`, changed[name]);
  };
}

export default { render };
