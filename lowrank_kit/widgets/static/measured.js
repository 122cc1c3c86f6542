/* What boards over ranks share. They index and sum the tables Python sent, and draw; nothing is computed anew. A board
   adds parts({ t, f, act, tables }): `rows` [{ node, draw(ranks) }], one a layer; `charts`, the pictures of the chosen
   layer, with choose(layer) and draw(ranks, finding); and nodes around the rows, `tools` above and `aside` below. */

const HAND = { rule: "hand", budget: null, cost: null };
const BATCHES = [1, 32, 256];
const PATIENCE_MS = 20000;

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

/* A slider over one rank; `column` is its place among all ranks, `index` that of its layer. */
function rankSlider({ name, label, key, full, column, index }, t, act) {
  const choose = () => act.choose(index), move = (rank) => { choose(); act.ranks(column, rank); };
  const { range, typed, draw } = slider(label, key, [1, full], [1, full, 1], t, move, act.settle,
    (text) => act.typed(column, text, name), { onfocus: choose, disabled: full === 1 });
  return {
    range, typed,
    draw: (rank, breakEven, text) => {
      range.style.setProperty("--even", `${(100 * breakEven) / full}%`);
      draw(rank, rank, (rank - 1) / Math.max(full - 1, 1), `${fill(t.rank_of, { rank, full })}, ${text}`);
    },
  };
}

/* The name of a layer with its shape. */
function layerName(layer, t, shape) {
  const notes = [shape, ...(layer.is_head ? [t.head] : [])].map((text) => h("small", {}, text));
  return h("div", { class: "lrk-name", title: layer.name }, h("b", {}, nameParts(layer.name)[1]), ...notes);
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
  const share = h("small");
  const { range, typed, draw: put } = slider(
    t.budget, "budget", [0, 1000], [0, 100, 0.1], t, act.budget, act.settle, act.typedBudget);
  const cost = select(t.cost, [["params", t.of_params], ["macs", t.of_macs]], () => act.cost(cost.value));
  const rule = select(t.rule, [["energy", t.rule_energy], ["uniform", t.rule_uniform]], () => act.rule(rule.value));
  cost.value = state.cost;
  rule.value = state.rule;
  const keep = h("div", { class: "lrk-row lrk-budget" },
    h("div", { class: "lrk-name" }, h("b", {}, t.budget), share, h("small", {}, cost)),
    range, typed, h("span", { class: "lrk-share" }, "%"));

  /* The slider stays where it was put; the number says what the ranks really keep. */
  function draw(kept) {
    const lowest = tables.lowest(state.rule, state.cost), at = Math.round(1000 * (state.origin?.budget ?? kept));
    range.min = lowest;
    write(share, t[`share_of_${state.cost}`]);
    const shown = (Math.max(at, lowest) - lowest) / (1000 - lowest);
    put(at, (100 * kept).toFixed(1), shown, `${f.percent1(kept)} ${t[`of_${state.cost}`]}`);
  }
  return { nodes: [keep, h("label", { class: "lrk-rule" }, h("span", {}, t.rule), rule)], draw };
}

/* One view of a board. `state` outlives it: a change of language builds the view anew. */
function buildView(model, el, tables, state, t, language, parts) {
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
    const times = state.times[model.get("batch")], seconds = times ? tables.timeAt(times, ranks) : NaN;
    const ofTotal = (part, total, form) => fill(t.of_total, { share: f.percent1(part / total), total: form(total) });
    tiles.params.show("exact", "", f.whole(params), ofTotal(params, tables.n_params, f.whole), t.params_of);
    tiles.macs.show("exact", "", f.compact(macs), ofTotal(macs, tables.macs, f.compact), t.macs_of);
    if (finding) showAccuracy(finding);
    else showPrediction(predicted, error);
    if (finding?.latency?.batch === model.get("batch")) showLatency(finding.latency);
    else if (seconds >= 0) showTime(seconds, times);
    else tiles.latency.show("waiting", "", "–", state.hand ? t.latency_pending : t.latency_measuring);
    own.rows.forEach((row, i) => row.draw(tables.of(tables.layers[i], ranks)));
    budget.draw(kept);
    own.draw(tables.of(tables.layers[state.chosen], ranks), finding);
    trade.draw(kept, predicted - tables.accuracy, error);
    if (state.unsent) send();
    el.dataset.paint = (performance.now() - started).toFixed(2);
  };
  const ask = oncePerFrame(paint);
  const be = (changes) => { Object.assign(state, changes); ask(); };
  const tell = (name, value) => { model.set(name, value); model.save_changes(); };

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

  const milliseconds = (seconds) => fill(t.milliseconds, { time: f.three(1e3 * seconds) });
  const pace = (speedup, dense_s) => fill(
    Math.abs(speedup - 1) < 0.05 ? t.same_pace : speedup < 1 ? t.slower : t.faster,
    { speedup: f.two(speedup), dense: f.three(1e3 * dense_s) });

  function showTime(seconds, times) {
    const error = tables.timeError(times, seconds), n = times.predicted.length;
    const off = error === null ? t.off_unknown : fill(t.off_timed, { error: f.percent(error), n });
    tiles.latency.show("predicted", t.predicted, milliseconds(seconds), pace(times.dense_s / seconds, times.dense_s), off);
  }

  function showLatency({ busy, speedup, dense_s, median_s, ...facts }) {
    const badge = busy ? fill(t.measured_busy, { share: f.percent(busy) }) : t.measured;
    const texts = [milliseconds(median_s), pace(speedup, dense_s), fill(t.timed, facts)];
    tiles.latency.show(busy ? "busy" : "measured", badge, ...texts);
  }

  /* ipywidgets keeps one message in flight and sends the newest state when it has come back. */
  function send() {
    const setting = { ranks: state.ranks.slice(), final: !state.hand, ...(state.origin ?? HAND) };
    if (setting.final && state.before) {
      model.set("history", [...model.get("history"), state.before]);
      state.before = null;
    }
    tell("setting", setting);
    state.unsent = false;
    clearTimeout(state.patience);
    if (setting.final) state.patience = setTimeout(() => { if (!found()) say(t.waiting); }, PATIENCE_MS);
  }

  function move(ranks, origin = null) {
    say("");
    if (!state.hand) state.before = { ...model.get("setting"), final: false };
    be({ ranks, origin, hand: true, unsent: true });
  }

  const placed = (column, ranks) => state.ranks.map((rank, i) => ranks[i - column] ?? rank);

  const act = {
    choose: (index) => {
      if (index === state.chosen) return;
      state.chosen = index;
      select();
      ask();
    },
    /* New ranks from a column on. */
    ranks: (column, ...ranks) => move(placed(column, ranks)),
    /* The hand has let go. */
    settle: () => { if (state.hand) be({ hand: false, unsent: true }); },
    set: (ranks, origin = null) => { move(ranks, origin); act.settle(); },
    typed: (column, text, name) => {
      const rank = Number(text), full = tables.full[column];
      const right = text !== "" && Number.isInteger(rank) && rank >= 1 && rank <= full;
      if (right) act.set(placed(column, [rank]));
      else refuse(fill(t.rank_rule, { name, full, value: text || "–" }));
    },
    budget: (thousandth) => {
      const { rule, cost } = state;
      move(tables.budget(thousandth, rule, cost), { rule, cost, budget: thousandth / 1000 });
    },
    typedBudget: (text) => {
      const lowest = tables.lowest(state.rule, state.cost) / 10;
      const right = text !== "" && +text >= lowest && +text <= 100;
      if (!right) return refuse(fill(t.budget_rule, { lowest: f.one(lowest), value: text || "–" }));
      act.budget(Math.round(10 * +text));
      act.settle();
    },
    cost: (cost) => {
      be({ cost, origin: null });
      remember();
    },
    rule: (rule) => {
      const { cost } = state, kept = tables.kept(state.ranks, cost);
      state.rule = rule;
      act.budget(Math.max(Math.round(1000 * kept), tables.lowest(rule, cost)));
      act.settle();
    },
    undo: () => {
      const history = model.get("history");
      if (!history.length) return;
      const { ranks, rule, budget, cost } = history.at(-1);
      model.set("history", history.slice(0, -1));
      be({ ranks: ranks.slice(), origin: { rule, budget, cost }, hand: false, before: null, unsent: true });
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
      if (same(tables.layers.flatMap((l) => planned[l.name]?.rank ?? l.fulls), state.ranks)) use(plan);
      else say(t.waiting);
    },
    language: () => tell("language", language === "en" ? "ja" : "en"),
    batch: () => { tell("batch", +batch.value); ask(); },
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
  const own = parts({ t, f, act, tables });
  const trade = tradeChart(t, f);
  const select = () => {
    own.choose(tables.layers[state.chosen]);
    own.rows.forEach((row, i) => row.node.classList.toggle("lrk-chosen", i === state.chosen));
  };
  const remember = () => {
    const points = model.get("tried").map((p) => ({ kept: tables.kept(p.ranks, state.cost), change: p.change[0] }));
    trade.remember(points, state.cost);
  };
  const showBatch = () => { batch.value = model.get("batch"); ask(); };
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
      h("div", { class: "lrk-controls" }, ...budget.nodes, ...(own.tools ?? []),
        h("div", { class: "lrk-rows" }, ...grouped(own.rows, tables.layers)), ...(own.aside ?? [])),
      h("div", { class: "lrk-charts" }, ...own.charts, trade.node)),
    note, spoken);
  select();
  remember();
  showBatch();
  paint();

  return {
    /* Python moved the ranks, or another view did. A hand on this view wins. */
    setting: () => {
      const { ranks, budget: asked, rule, cost } = model.get("setting");
      if (!state.hand && !state.unsent) be({ ranks: ranks.slice(), origin: { rule, budget: asked, cost } });
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

const boardOf = (parts) => function render({ model, el }) {
  let view = null, tables = null, received = null, state = null;
  const live = h("style", {}, `#${model.get("still_id")} { display: none }`);

  const build = () => {
    const language = model.get("language");
    view = buildView(model, el, tables, state, received.strings[language], language, parts);
  };
  const readAgain = () => Object.assign(tables ?? {}, readTables(received.words, received.arrays));
  const hear = (message, buffers) => {
    if (message.kind === "tables" && !received) {
      received = { words: message.words, strings: message.strings, arrays: unpack(message.arrays, buffers) };
      tables = readAgain();
      const widest = tables.layers.reduce((best, l, i) => (l.size > tables.layers[best].size ? i : best), 0);
      state = { ranks: model.get("setting").ranks.slice(), rule: "energy", cost: "params", chosen: widest, origin: null, times: {} };
      build();
      /* A live board hides the still picture that stands for it where there is none. */
      document.head.append(live);
      requestAnimationFrame(() => setTimeout(() => model.send({ kind: "painted" })));
    } else if (message.kind === "curves" && received) {
      received.words.layers = message.layers;
      Object.assign(received.arrays, unpack(message.arrays, buffers));
      readAgain();
      view.refresh();
    } else if (message.kind === "times" && received) {
      const { times } = state, { batch, arrays } = message;
      times[batch] = { ...message, shares: { ...times[batch]?.shares, ...unpack(arrays, buffers) } };
      view.refresh();
    }
  };
  const changed = { "msg:custom": hear, "change:language": () => received && build() };
  for (const name of ["setting", "finding", "tried", "progress", "batch", "fault"])
    changed[`change:${name}`] = () => view?.[name]();
  for (const [name, act] of Object.entries(changed)) model.on(name, act);
  el.classList.add("lrk");
  /* Keys on a slider are the slider's: JupyterLab binds arrows, Enter and letters to its cells. */
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  model.send({ kind: "hello" });
  return () => {
    live.remove();
    clearTimeout(state?.patience);
    for (const [name, act] of Object.entries(changed)) model.off(name, act);
  };
};
