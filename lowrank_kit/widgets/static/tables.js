/* The same lookups as records/tables.py, over the same numbers: what is summed over layers. A layer knows its full
   ranks, one or two, and what it saves and loses; the ranks of all layers stand one behind the other. */

const NEIGHBOURS = 15;

function networkTables(words, arrays, layers, totals) {
  let column = 0;
  layers.forEach((l) => { l.column = column; column += l.fulls.length; });
  const of = (l, ranks) => ranks.slice(l.column, l.column + l.fulls.length);
  const sum = (part) => layers.reduce((total, l) => total + part(l), 0);
  const saved = (ranks, cost) => sum((l) => l.saved(of(l, ranks), cost));
  return {
    ...words,
    layers,
    of,
    full: layers.flatMap((l) => l.fulls),
    paramsAt: (ranks) => words.n_params - saved(ranks, "params"),
    macsAt: (ranks) => words.macs - saved(ranks, "macs"),
    kept: (ranks, cost) => 1 - saved(ranks, cost) / totals[cost],
    predict: (ranks) => {
      const left = words.accuracy - sum((l) => l.lost(of(l, ranks)));
      return Math.min(Math.max(left, Math.min(1 / words.n_classes, words.accuracy)), 1);
    },
    /* Until a layer's curve is measured, its drop is estimated from the spectrum. */
    isEstimate: (ranks) => layers.some((l) => l.saves(of(l, ranks)) && !l.isMeasured),
    tried: arrays.predicted.length,
    /* The least budget, in thousandths. */
    lowest: (rule, cost) => Math.ceil(1000 * words.budgets[`${rule} ${cost}`].cheapest),
    budget: (thousandth, rule, cost) => {
      const key = `${rule} ${cost}`, planned = layers.filter((l) => words.budgets[key].layers.includes(l.name));
      let start = thousandth * planned.flatMap((l) => l.fulls).length;
      return layers.flatMap((l) => {
        if (!planned.includes(l)) return l.fulls;
        start += l.fulls.length;
        return [...arrays[key].subarray(start - l.fulls.length, start)];
      });
    },
    predictionError: (predicted) => {
      if (arrays.predicted.length < NEIGHBOURS) return null;
      const off = Array.from(arrays.predicted, (p, i) => [Math.abs(p - predicted), Math.abs(p - arrays.observed[i])])
        .sort((a, b) => a[0] - b[0]).slice(0, NEIGHBOURS)
        .map(([, error]) => error).sort((a, b) => a - b);
      const at = 0.9 * (NEIGHBOURS - 1), low = Math.floor(at);
      return off[low] + (at - low) * (off[low + 1] - off[low]);
    },
  };
}

/* Sums of squares up to each of the values. */
function squaresOf(values) {
  const squares = values.map((v) => v * v);
  for (let i = 1; i < squares.length; i++) squares[i] += squares[i - 1];
  return squares;
}
