/* The same lookups as records/tables.py, over the same numbers: what is summed over layers. A layer knows its full
   ranks, one or two, and what it saves and loses; the ranks of all layers stand one behind the other. */

const NEIGHBOURS = 15;
const TIMED_NEIGHBOURS = 10;
const FEWEST_TIMED = 5;

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
      const off = nearest(arrays.predicted, predicted, NEIGHBOURS, (p, i) => Math.abs(p - arrays.observed[i]));
      const at = 0.9 * (NEIGHBOURS - 1), low = Math.floor(at);
      return off[low] + (at - low) * (off[low + 1] - off[low]);
    },
    /* Seconds of the network, as records/network_times.py predicts them; NaN where they are not known. */
    timeAt: ({ dense_s, shares }, ranks) => {
      const whole = sum((l) => shares[l.name].at(-1)), now = sum((l) => shares[l.name][indexOf(l, of(l, ranks))]);
      return dense_s * Math.max(1 - (whole - now), now / Math.max(whole, 1));
    },
    timeError: (times, predicted) => {
      if (times.predicted.length < FEWEST_TIMED) return null;
      const off = nearest(times.predicted, predicted, TIMED_NEIGHBOURS, (p, i) => Math.abs(p / times.observed[i] - 1));
      return off[Math.ceil(0.9 * (off.length - 1))];
    },
  };
}

/* Where a layer's rank, or pair of ranks, stands among all it can have. */
const indexOf = (l, ranks) => ranks.reduce((at, rank, i) => at * l.fulls[i] + rank - 1, 0);

/* How far off those predictions were that lie nearest to one, least first. */
const nearest = (predicted, to, count, errorOf) => Array.from(predicted, (p, i) => [Math.abs(p - to), errorOf(p, i)])
  .sort((a, b) => a[0] - b[0]).slice(0, count)
  .map(([, error]) => error).sort((a, b) => a - b);

/* Sums of squares up to each of the values. */
function squaresOf(values) {
  const squares = values.map((v) => v * v);
  for (let i = 1; i < squares.length; i++) squares[i] += squares[i - 1];
  return squares;
}
