/* What a hand moves and what it reads: buttons, tiles with a number, and the events of a slider. */

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
