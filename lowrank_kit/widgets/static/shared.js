/* What every board shares: elements, numbers, scales, and one paint a frame. */

const SVG = "http://www.w3.org/2000/svg";

function put(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const h = (tag, attributes = {}, ...children) => put(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => put(document.createElementNS(SVG, tag), attributes, children);

/* Writing the same text again costs a layout; most texts stay the same from frame to frame. */
function write(node, text) {
  if (node.lrkText !== text) node.textContent = node.lrkText = text;
}

function mark(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/* A template with {placeholders}. */
const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, key) => values[key]);

/* Numbers as they are written in the reader's language; accuracy differences are in points. */
function numbers(language) {
  const format = (options) => {
    const formatter = new Intl.NumberFormat(language, options);
    return (value) => formatter.format(value);
  };
  const signed = { maximumFractionDigits: 1, signDisplay: "exceptZero" };
  const minus = (form) => (fraction) => form(100 * fraction).replace("-", "−");
  return {
    whole: format({ maximumFractionDigits: 0 }),
    compact: format({ notation: "compact", maximumSignificantDigits: 3 }),
    one: format({ minimumFractionDigits: 1, maximumFractionDigits: 1 }),
    two: format({ maximumSignificantDigits: 2 }),
    three: format({ maximumSignificantDigits: 3 }),
    percent: format({ style: "percent", maximumFractionDigits: 0 }),
    percent1: format({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }),
    points: minus(format({ ...signed, minimumFractionDigits: 1 })),
    wholePoints: minus(format(signed)),
  };
}

/* Calls `paint` once in the next frame, however often it is asked before. */
function oncePerFrame(paint) {
  let asked = 0;
  return () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; paint(); });
  };
}

const linear = ([from, to], [start, end]) => (value) => start + ((value - from) / (to - from || 1)) * (end - start);

/* 1, 2 and 5 times the powers of ten inside [low, high], for a log axis; the powers alone where they are many. */
function ticks(low, high) {
  const found = [], steps = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) found.push(...steps.map((step) => step * 10 ** e));
  return found.filter((v) => v >= low && v <= high);
}

/* Arrays out of a message's buffers, of singles or doubles; a copy, since a buffer need not be aligned. */
function unpack(lengths, buffers) {
  const arrays = {};
  Object.keys(lengths).forEach((name, i) => {
    const view = buffers[i], isSingle = view.byteLength < 8 * lengths[name];
    const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    arrays[name] = new (isSingle ? Float32Array : Float64Array)(bytes);
  });
  return arrays;
}
