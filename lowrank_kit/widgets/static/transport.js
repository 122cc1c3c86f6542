/* Playing what was recorded: forwards and back, at a pace of one's own, once or again and again. */

/* About ten seconds for the whole of it at the plain pace. */
const PLAY_MS = 10000;
const PACES = [0.25, 0.5, 1, 2, 4];

/* `steps()` are those of all entries, `index()` the one that is shown, `go(entry, final)` shows another: null the newest. */
function transport({ t, f, steps, index, go, settle, ask, isThere }) {
  const play = { since: null, from: 0, place: null, pace: 1, again: false };
  const last = () => steps().length - 1;
  const to = (entry, final = true) => {
    halt();
    go(entry >= last() ? null : Math.max(entry, 0), final);
  };
  const range = h("input", {
    type: "range", min: 1, step: 1, "aria-label": t.time, "data-layer": "time",
    ...onRange(() => to(range.value - 1, false), settle),
  });
  const when = h("output", { class: "lrk-when", "aria-live": "off" });
  const main = h("button", { type: "button", class: "lrk-play", onclick: () => (play.since === null ? begin() : halt(true)) });
  const back = button("‹", () => to(index() - 1), t.back), on = button("›", () => to(index() + 1), t.on);
  const pace = h("select", { "aria-label": t.pace, onchange: () => hurry(+pace.value) },
    ...PACES.map((value) => h("option", { value, selected: value === 1 }, `${f.two(value)} ×`)));
  const again = button(t.loop, () => {
    play.again = !play.again;
    mark(again, { "aria-pressed": play.again });
  });
  mark(again, { "aria-pressed": false });
  const newest = button("»", () => to(Infinity), t.newest);
  [back, on, newest].forEach((part) => mark(part, { "aria-label": part.title }));
  const node = h("div", { class: "lrk-row lrk-timerow" }, main, back, on, newest, range, when, pace, again);

  /* Where motion is unwanted, a jump a second. */
  function begin() {
    const first = index() >= last() ? 0 : index();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (last() < 1) return;
    Object.assign(play, { since: performance.now(), from: first / last() });
    const frame = (now) => {
      if (play.since === null || !isThere()) return;
      let whole = play.from + (Math.max(now - play.since, 0) * play.pace) / PLAY_MS;
      if (whole >= 1 && !play.again) return halt(true, null);
      if (whole >= 1) Object.assign(play, { since: now, from: (whole = 0) });
      const share = calm ? Math.floor(whole * 10) / 10 : whole, known = steps();
      const place = Math.max(share, play.from) * last(), entry = Math.floor(place);
      play.place = calm ? null : known[entry] + (place - entry) * (known[entry + 1] - known[entry]);
      if (entry !== index()) go(entry, false);
      ask();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }
  function halt(final = false, at = index() >= last() ? null : index()) {
    if (play.since === null) return;
    Object.assign(play, { since: null, place: null });
    if (final) go(at, true);
  }
  function hurry(value) {
    if (play.since !== null) {
      const now = performance.now();
      play.from = Math.min(play.from + ((now - play.since) * play.pace) / PLAY_MS, 1);
      play.since = now;
    }
    play.pace = value;
  }

  /* `span` entries there will be; `text` says which one this is, and `widest` is the longest of such texts. */
  function draw(at, span, text, widest, spoken, isNewest) {
    const count = steps().length;
    mark(range, { max: Math.max(span, 2), "aria-valuetext": spoken });
    range.disabled = back.disabled = on.disabled = main.disabled = count < 2;
    if (+range.value !== at + 1) range.value = at + 1;
    node.style.setProperty("--at", `${span > 1 ? (100 * Math.max(at, 0)) / (span - 1) : 0}%`);
    node.style.setProperty("--even", `${span > 1 ? (100 * Math.max(count - 1, 0)) / (span - 1) : 100}%`);
    write(when, text);
    /* Room for the longest, so that the slider keeps its length while it is dragged. */
    mark(when, { "data-widest": widest });
    write(main, play.since === null ? t.play : t.stop);
    newest.disabled = isNewest;
  }
  /* To the entry nearest to a step. */
  function scrub(step, final) {
    const known = steps();
    if (known.length) to(known.reduce((best, v, i) => (Math.abs(v - step) < Math.abs(known[best] - step) ? i : best), 0), final);
  }
  return { node, draw, to, scrub, halt: () => halt(), place: () => play.place };
}

/* A player on a page, until it is removed: it hears its kernel, and paints when one of the traits changes. `hear` gives
   the words of a view that is to be built, or nothing; `build` makes it: `refresh` paints, `leave` ends what it plays. */
function mount({ model, el }, kind, traits, hear, build) {
  let view = null, spoken = null;
  const live = h("style", {}, `#${model.get("still_id")} { display: none }`);
  const show = () => {
    view?.leave();
    view = build(spoken[model.get("language")], model.get("language"));
  };
  const heard = (message, buffers) => {
    const words = hear(message, buffers);
    if (!words) return view?.refresh();
    spoken = words;
    show();
    document.head.append(live);
  };
  const changed = Object.fromEntries(traits.map((name) => [name, () => view?.refresh()]));
  changed.language = () => spoken && show();
  model.on("msg:custom", heard);
  for (const [name, act] of Object.entries(changed)) model.on(`change:${name}`, act);
  el.classList.add("lrk", "lrk-player", kind);
  /* Keys on a slider are the slider's: JupyterLab binds arrows, Enter and letters to its cells. */
  el.dataset.lmSuppressShortcuts = true;
  el.addEventListener("keydown", (event) => event.stopPropagation());
  model.send({ kind: "hello" });
  return () => {
    view?.leave();
    live.remove();
    model.off("msg:custom", heard);
    for (const [name, act] of Object.entries(changed)) model.off(`change:${name}`, act);
  };
}
