/* The latent board: two clouds of the same examples, in directions that are kept and in directions that are cut. */

const EDGE = 16;
const STAMPS_A_ROW = 32;
const BARS = { width: 310, row: 20, left: 26, right: 46 };

/* Equally bright, so that every class is read equally well. */
const hue = (c, classes, dark) => `oklch(${dark ? 0.78 : 0.54} 0.16 ${(360 * c) / classes + 20})`;
const best = (values) => values.reduce((top, v, c) => (v > values[top] ? c : top), 0);

/* The classes as images, since text takes several times as long, and where each one lies on them. */
function stamps(density, colours) {
  const digits = String(colours.length - 1).length, side = Math.round((14 + 8 * digits) * density);
  const rows = Math.ceil(colours.length / STAMPS_A_ROW), across = Math.min(colours.length, STAMPS_A_ROW);
  const sheet = h("canvas", { width: across * side, height: rows * side }), ink = sheet.getContext("2d");
  const at = (c) => [(c % STAMPS_A_ROW) * side, Math.floor(c / STAMPS_A_ROW) * side];
  const font = `600 ${12 * density}px system-ui, sans-serif`;
  Object.assign(ink, { font, textAlign: "center", textBaseline: "middle" });
  colours.forEach((colour, c) => {
    ink.fillStyle = colour;
    ink.fillText(c, ...at(c).map((v) => v + side / 2));
  });
  return { sheet, side, at };
}

/* Values spread over a range; equal ones lie in its middle. */
function onto(values, range) {
  const low = Math.min(...values), high = Math.max(...values);
  return values.map(linear(high > low ? [low, high] : [low - 1, high + 1], range));
}

/* One cloud on a canvas; every example is written as its class, so that colour is never all that tells. */
function cloud({ labels }, onPick, ask) {
  const canvas = h("canvas", { class: "lrk-cloud", role: "img" }), ink = canvas.getContext("2d");
  const node = h("figure", { class: "lrk-chart" }, h("h3"), canvas, h("p", { class: "lrk-facts" }));
  const [title, , facts] = node.children;
  let places = [], size = 380, drawn = "", looks = "", marks = null;
  new ResizeObserver(([{ contentRect }]) => { size = contentRect.width || size; ask(); }).observe(canvas);

  canvas.addEventListener("pointerdown", (event) => {
    const distance = ([x, y]) => (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
    if (event.button || !places.length) return;
    onPick(places.reduce((nearest, place, i) => (distance(place) < distance(places[nearest]) ? i : nearest), 0));
  });

  /* Two directions, of the first group where there are several; one that is not there is drawn as zero. */
  function draw({ name, z, width, groups }, first, last, picked, colours) {
    const pixels = Math.round(size * (window.devicePixelRatio || 1));
    const columns = [first, first + groups].filter((k) => k < last);
    const scene = String([name, columns, picked, size, pixels, colours.ink]);
    if (scene === drawn) return;
    drawn = scene;
    const read = (k) => labels.map((_, i) => (k < last ? z[i * width + k] : 0));
    const x = onto(read(first), [EDGE, size - EDGE]), y = onto(read(first + groups), [size - EDGE, EDGE]);
    places = columns.length ? x.map((v, i) => [v, y[i]]) : [];
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    ink.clearRect(0, 0, pixels, pixels);
    if (places.length) stampAll(pixels / size, picked, colours);
  }

  function stampAll(density, picked, colours) {
    if (looks !== `${density} ${colours.ink}`) marks = stamps(density, colours.classes);
    looks = `${density} ${colours.ink}`;
    const { sheet, side, at } = marks;
    places.forEach((place, i) => {
      const corner = place.map((v) => Math.round(v * density - side / 2));
      ink.drawImage(sheet, ...at(labels[i]), side, side, ...corner, side, side);
    });
    Object.assign(ink, { strokeStyle: colours.ink, lineWidth: 2 * density });
    ink.beginPath();
    ink.arc(...places[picked].map((v) => v * density), 11 * density, 0, 2 * Math.PI);
    ink.stroke();
  }

  function say(name, text) {
    write(title, name);
    write(facts, text);
    mark(canvas, { "aria-label": text ? `${name}. ${text}` : name });
  }
  return { node, draw, say };
}

/* The picked example: its image, and the probability of every class, now and when dense. */
function portrait(tables, t, f) {
  const { width, row, left, right } = BARS, height = row * tables.classes + 4;
  const x = linear([0, 1], [left, width - right]);
  const bars = Array.from({ length: tables.classes }, (_, c) => {
    const middle = row * c + row / 2 + 2;
    return {
      name: s("text", { x: left - 8, y: middle + 4, "text-anchor": "end" }, String(c)),
      now: s("rect", { class: "lrk-prob", x: left, y: middle - 6, height: 12, width: 0, rx: 2 }),
      dense: s("line", { class: "lrk-dense", y1: middle - 8, y2: middle + 8 }),
      value: s("text", { y: middle + 4, x: width - right + 6 }),
    };
  });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": t.probabilities },
    ...bars.flatMap((bar) => Object.values(bar)));
  const image = h("canvas", { class: "lrk-image", role: "img" });
  const title = h("h3", { "aria-live": "polite" }), verdict = h("p", { class: "lrk-verdict" });
  const key = (kind, text) => h("span", { class: `lrk-key lrk-key-${kind}` }, text);
  const node = h("figure", { class: "lrk-chart lrk-portrait" }, title,
    h("div", { class: "lrk-face" }, ...(tables.image ? [image] : []), verdict),
    h("div", { class: "lrk-bars", tabindex: tables.classes > 20 ? 0 : null }, svg),
    h("p", { class: "lrk-facts" }, key("dot", t.now), key("dense", t.dense)));

  let present = null;
  function draw(picked, probabilities) {
    const label = tables.labels[picked], read = probabilities && best(probabilities);
    if (present !== picked) present = show(picked, label);
    write(verdict, probabilities ? fill(read === label ? t.reads_right : t.reads_wrong, { read }) : t.measuring);
    verdict.dataset.right = !probabilities || read === label;
    bars.forEach((bar, c) => {
      mark(bar.now, { width: probabilities ? Math.max(x(probabilities[c]) - left, 0) : 0 });
      write(bar.value, probabilities ? f.percent(probabilities[c]) : "");
    });
  }

  /* What does not change with the rank. */
  function show(picked, label) {
    const name = fill(t.picked, { number: picked, label });
    write(title, name);
    bars.forEach((bar, c) => {
      const dense = x(tables.dense[picked * tables.classes + c]);
      mark(bar.dense, { x1: dense, x2: dense });
      mark(bar.now, { "data-true": c === label });
    });
    if (tables.image) paintImage(picked, name);
    return picked;
  }

  function paintImage(picked, name) {
    const [rows, columns] = tables.image, size = rows * columns, ink = image.getContext("2d");
    [image.width, image.height] = [columns, rows];
    const pixels = ink.createImageData(columns, rows);
    tables.images.subarray(picked * size, (picked + 1) * size).forEach((v, i) => pixels.data.set([v, v, v, 255], 4 * i));
    ink.putImageData(pixels, 0, 0);
    mark(image, { "aria-label": name });
  }
  return { node, draw };
}

function buildView(model, el, tables, t, language) {
  const f = numbers(language), classes = tables.classes, n = tables.labels.length;
  let setting = { ...model.get("setting") };
  const layerOf = () => tables.layers.find((l) => l.name === setting.layer);
  /* A rank that a hand still moves is not `final`: no picture is drawn of it for pages without a kernel. */
  const change = (next, final = true) => {
    setting = { ...setting, ...next, final };
    write(note, "");
    ask();
    model.set("setting", setting);
    model.save_changes();
  };
  const pick = (picked) => change({ picked: ((picked % n) + n) % n });

  const button = (text, onclick) => h("button", { type: "button", onclick }, text);
  const chips = tables.layers.map((l) => button(l.name, () => change({ layer: l.name, rank: l.full })));
  const range = h("input", {
    type: "range", min: 1, step: 1, "data-layer": "rank",
    oninput: () => change({ rank: +range.value }, false), onchange: () => change({}),
  });
  const type = () => {
    const rank = Number(typed.value), { full, name } = layerOf();
    if (Number.isInteger(rank) && rank >= 1 && rank <= full) return change({ rank });
    write(note, fill(t.rank_rule, { name, full, value: typed.value || "–" }));
    ask();
  };
  const typed = h("input", { type: "number", min: 1, step: 1, "aria-label": t.rank, onchange: type, onblur: () => ask() });
  const facts = h("span", { class: "lrk-share" });
  const note = h("p", { class: "lrk-note", role: "status" });
  const ask = oncePerFrame(() => paint());
  const kept = cloud(tables, pick, ask), cut = cloud(tables, pick, ask), face = portrait(tables, t, f);
  const step = (by, text) => button(text, () => pick(setting.picked + by));
  const turn = () => { model.set("language", language === "en" ? "ja" : "en"); model.save_changes(); };

  /* The probabilities at a rank, once they are measured. */
  function shown({ probabilities }, rank) {
    const size = n * classes, found = probabilities?.subarray((rank - 1) * size, rank * size);
    return found && !isNaN(found[0]) ? found : null;
  }
  const right = (values) =>
    tables.labels.filter((label, i) => best(values.subarray(i * classes, (i + 1) * classes)) === label).length / n;
  const dense = f.percent1(right(tables.dense));

  /* Asking for a style holds a frame up, so that colours are asked for twice a second while a hand moves. */
  const colours = { age: -Infinity };
  function palette() {
    if (performance.now() - colours.age < 500) return colours;
    const style = getComputedStyle(el), paper = style.backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255];
    const dark = paper[0] + paper[1] + paper[2] < 380;
    const hues = Array.from({ length: classes }, (_, c) => hue(c, classes, dark));
    return Object.assign(colours, { age: performance.now(), ink: style.color, classes: hues });
  }

  function paint() {
    const started = performance.now(), layer = layerOf(), { rank, picked } = setting;
    const keep = rank * layer.groups, all = shown(layer, rank), { width, shares, groups } = layer;
    chips.forEach((chip, i) => mark(chip, { "aria-pressed": tables.layers[i] === layer }));
    const label = fill(t.layer_rank, { layer: layer.name }), value = fill(t.rank_of, { rank, full: layer.full });
    mark(range, { max: layer.full, "aria-label": label, "aria-valuetext": value });
    range.value = rank;
    range.style.setProperty("--at", `${(100 * (rank - 1)) / Math.max(layer.full - 1, 1)}%`);
    typed.max = layer.full;
    if (document.activeElement !== typed || typed.lrkRank !== rank) typed.value = typed.lrkRank = rank;
    kept.draw(layer, 0, keep, picked, palette());
    cut.draw(layer, keep, width, picked, palette());
    const held = f.percent1(shares[keep - 1]), lost = f.percent1(1 - shares[keep - 1]), count = layer.full - rank;
    const name = (title) => (groups > 1 ? fill(t.of_group, { title, groups }) : title);
    const dropped = fill(count > 1 ? t.cut_title : t.cut_title_one, { first: rank + 1, last: rank + 2 });
    kept.say(name(rank > 1 ? t.kept_title : t.kept_title_one), fill(t.kept_facts, { rank, share: held }));
    cut.say(count ? name(dropped) : t.cut_nothing, count ? fill(t.cut_facts, { count, share: lost }) : "");
    face.draw(picked, all && all.subarray(picked * classes, (picked + 1) * classes));
    write(facts, all ? fill(t.accuracy, { accuracy: f.percent1(right(all)), dense, n: f.whole(n) }) : t.measuring);
    el.dataset.paint = (performance.now() - started).toFixed(2);
  }

  el.lang = language;
  el.replaceChildren(
    h("header", { class: "lrk-head" },
      h("div", {}, h("h2", {}, tables.name), h("p", {}, fill(t.subtitle, { n: f.whole(n) }))),
      h("nav", {}, button(t.language, turn))),
    h("div", { class: "lrk-chips", role: "group", "aria-label": t.layer }, ...chips),
    h("div", { class: "lrk-row" }, h("b", {}, t.rank), range, typed, facts),
    h("div", { class: "lrk-clouds" }, kept.node, cut.node,
      h("div", {}, face.node, h("div", { class: "lrk-steps" }, step(-1, t.previous), step(1, t.next)))),
    note);
  paint();
  return {
    setting: () => { setting = { ...model.get("setting") }; ask(); },
    fault: () => write(note, model.get("fault")),
    refresh: ask,
    theme: () => { colours.age = -Infinity; ask(); },
  };
}

function render({ model, el }) {
  let view = null, tables = null, spoken = null;
  const live = h("style", {}, `#${model.get("still_id")} { display: none }`);
  const copied = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
  const theme = new MutationObserver(() => view?.theme());
  const build = () => { view = buildView(model, el, tables, spoken[model.get("language")], model.get("language")); };

  function read(words, buffers) {
    const [dense, images, ...clouds] = buffers.map(copied), n = words.labels.length;
    const layers = words.layers.map((layer, i) => {
      const z = new Float32Array(clouds[i]), width = z.length / n;
      return { ...layer, z, width, shares: sharesOf(z, n, width) };
    });
    return { ...words, layers, dense: new Float32Array(dense), images: new Uint8Array(images) };
  }

  function hear(message, buffers) {
    if (message.kind === "tables" && !tables) {
      [tables, spoken] = [read(message.words, buffers), message.strings];
      build();
      document.head.append(live);
    } else if (message.kind === "probabilities" && tables) {
      const layer = tables.layers.find((l) => l.name === message.layer), size = tables.labels.length * tables.classes;
      layer.probabilities ??= new Float32Array(layer.full * size).fill(NaN);
      /* What is not known here may have been told since. */
      new Float32Array(copied(buffers[0])).forEach((v, i) => {
        if (!isNaN(v)) layer.probabilities[message.start * size + i] = v;
      });
      view.refresh();
    }
  }
  const changed = { setting: () => view?.setting(), fault: () => view?.fault(), language: () => tables && build() };
  model.on("msg:custom", hear);
  for (const [name, act] of Object.entries(changed)) model.on(`change:${name}`, act);
  el.classList.add("lrk", "lrk-latent");
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  theme.observe(document.body, { attributes: true });
  model.send({ kind: "hello" });
  return () => {
    live.remove();
    theme.disconnect();
    model.off("msg:custom", hear);
    for (const [name, act] of Object.entries(changed)) model.off(`change:${name}`, act);
  };
}

/* The share of the variance that lies in the first 1, 2, ... directions. */
function sharesOf(z, n, width) {
  const shares = new Float64Array(width);
  for (let k = 0; k < width; k++) {
    let sum = 0, squares = 0;
    for (let i = 0; i < n; i++) { sum += z[i * width + k]; squares += z[i * width + k] ** 2; }
    shares[k] = Math.max(squares / n - (sum / n) ** 2, 0) + (k ? shares[k - 1] : 0);
  }
  const total = shares[width - 1];
  return total > 0 ? shares.map((v) => v / total) : shares.fill(1);
}

export default { render };
