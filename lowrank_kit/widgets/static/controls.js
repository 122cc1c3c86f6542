/* What a hand moves and what it reads: buttons, tiles with a number, sliders with the number they stand at. */

const button = (text, onclick, title = null) => h("button", { type: "button", onclick, title }, text);

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

/* A slider and the number it stands at; `move` and `type` are told what a hand makes of them. */
function slider(label, key, limits, numbers, t, move, settle, type, more = {}) {
  const [min, max] = limits, [least, most, step] = numbers;
  const range = h("input", {
    type: "range", min, max, step: 1, "aria-label": label, "data-layer": key,
    ...onRange(() => move(+range.value), settle), ...more,
  });
  const typed = h("input", {
    type: "number", min: least, max: most, step, "aria-label": `${label}: ${t.type_in}`, inputmode: "decimal",
    onchange: () => type(typed.value), onblur: () => { typed.value = typed.lrkText ?? ""; }, ...more,
  });
  /* A number that is being typed stays, unless the slider has moved, until the field is left. */
  function draw(at, text, share, spoken) {
    if (+range.value !== at) range.value = at;
    if (typed.lrkText !== text || document.activeElement !== typed) typed.value = text;
    typed.lrkText = text;
    range.style.setProperty("--at", `${100 * share}%`);
    mark(range, { "aria-valuetext": spoken });
  }
  return { range, typed, draw };
}
