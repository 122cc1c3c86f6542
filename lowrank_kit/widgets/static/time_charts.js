/* What pictures of a training share: axes over its steps, a line at the one that is looked at, and a hand on them. */

const FRAME = { width: 400, left: 42, right: 16, top: 8 };

const axisText = (x, y, text, anchor = "middle") => s("text", { x, y, "text-anchor": anchor }, text);
const at1 = (v) => v.toFixed(1);

/* Round numbers from 0 to `high`, about `count` of them. */
function steps(high, count) {
  const rough = high / count || 1, ten = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((m) => m * ten).find((m) => m >= rough);
  return Array.from({ length: Math.floor(high / size + 1e-9) + 1 }, (_, i) => i * size);
}

/* A polyline through the known points (x, y); a stair where values hold until the next one. */
function lineThrough(xs, ys, stairs = false) {
  let path = "";
  ys.forEach((y, i) => {
    if (!isFinite(y)) return;
    if (!path) path = `M${at1(xs[i])},${at1(y)}`;
    else path += stairs ? `H${at1(xs[i])}V${at1(y)}` : `L${at1(xs[i])},${at1(y)}`;
  });
  return path;
}

/* A frame over the steps of the training, with a line at the step that is looked at. A press or drag on it scrubs. */
function timeChart(act, height, title, name) {
  const { width, left, right, top } = FRAME, end = width - right, floor = height - (name ? 34 : 20);
  const axes = s("g", { class: "lrk-axes" }), inside = s("g");
  const cursor = s("line", { class: "lrk-cursor", y1: top, y2: floor });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, axes, inside, cursor);
  const node = h("figure", { class: "lrk-chart lrk-time" }, title, svg);
  let x = linear([0, 1], [left, end]), last = 1;

  const scrub = (event, final) => {
    const frame = svg.getBoundingClientRect();
    const place = ((event.clientX - frame.left) / frame.width) * width;
    act.scrub(((place - left) / (end - left)) * last, final);
  };
  const held = (event) => svg.hasPointerCapture(event.pointerId);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    svg.setPointerCapture(event.pointerId);
    scrub(event, false);
  });
  svg.addEventListener("pointermove", (event) => { if (held(event)) scrub(event, false); });
  svg.addEventListener("pointerup", (event) => { if (held(event)) scrub(event, true); });
  svg.addEventListener("pointercancel", () => act.settle());

  /* The axes: steps to `to` below, and at the side what `marks` says, [value, text] each; dotted where settings changed. */
  function scale(to, y, marks, changes, f) {
    last = to;
    x = linear([0, last], [left, end]);
    const side = marks.flatMap(([value, text]) => [
      s("line", { x1: left, x2: end, y1: y(value), y2: y(value) }),
      axisText(left - 6, y(value) + 4, text, "end"),
    ]);
    const below = steps(last, 5).map((v) => axisText(x(v), floor + 15, f.whole(v)));
    const dotted = changes.map((v) => s("line", { class: "lrk-changed", x1: x(v), x2: x(v), y1: top, y2: floor }));
    axes.replaceChildren(...side, ...below, ...(name ? [axisText((left + end) / 2, height - 3, name)] : []), ...dotted);
    return x;
  }
  const draw = (step) => {
    mark(cursor, isNaN(step) ? { visibility: "hidden" } : { x1: x(step), x2: x(step), visibility: "visible" });
  };
  return { node, svg, inside, top, floor, scale, draw };
}
