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
