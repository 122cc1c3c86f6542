/* What pictures of boards over ranks share: where their axes lie, and a hand on them. */

const SIZE = { width: 440, height: 250 };

/* Where a picture's axes lie. */
const frame = (top, right = 16) => ({ left: 42, right: SIZE.width - right, top, floor: SIZE.height - 38 });

/* An empty picture. */
const sheet = (attributes, ...parts) =>
  s("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", ...attributes }, ...parts);

function axisText(x, y, text, anchor = "middle") {
  return s("text", { x, y, "text-anchor": anchor }, text);
}

/* Presses and drags on a picture: `onMove` is told where they are in its own units, and null where they end. */
function draggable(svg, onMove) {
  const tell = ({ clientX, clientY }) => {
    const frame = svg.getBoundingClientRect(), scale = SIZE.width / frame.width;
    onMove([(clientX - frame.left) * scale, (clientY - frame.top) * scale]);
  };
  const held = (event) => svg.hasPointerCapture(event.pointerId);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    /* A slider that loses the focus settles: before this hand begins, not within it. */
    document.activeElement.blur();
    svg.setPointerCapture(event.pointerId);
    tell(event);
  });
  svg.addEventListener("pointermove", (event) => { if (held(event)) tell(event); });
  svg.addEventListener("pointerup", (event) => { if (held(event)) { tell(event); onMove(null); } });
  svg.addEventListener("pointercancel", () => onMove(null));
}

/* The rank at a place on an axis, which may lie beside it. */
const rankAt = (place, [from, to], full) =>
  Math.min(Math.max(Math.round(((place - from) / (to - from)) * full), 1), full);

/* 1 and the quarters of the full rank, where an axis has its numbers. */
const quarters = (full) => [...new Set([1, ...[0.25, 0.5, 0.75, 1].map((q) => Math.max(Math.round(q * full), 1))])];
