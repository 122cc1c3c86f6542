/* The same lookups as records/tables.py, over the same numbers. */

const NEIGHBOURS = 15;

function readTables(words, arrays) {
  let start = 0;
  const layers = words.layers.map((layer) => {
    const [m, n] = layer.shape;
    const full = Math.min(m, n);
    const part = (name) => arrays[name].subarray(start, start + full);
    const [values, drop, measured] = [part("values"), part("drop"), part("measured")];
    start += full;
    const squares = values.map((v) => v * v);
    for (let i = 1; i < full; i++) squares[i] += squares[i - 1];
    const breakEven = Math.floor((m * n - 1) / (m + n));
    const costs = { params: layer.groups * m * n, macs: layer.macs };
    const perRank = { params: layer.groups * (m + n), macs: layer.rank_macs };
    return { ...layer, costs, perRank, full, values, drop, measured, squares, breakEven };
  });
  const cutAt = (l, rank) => rank <= l.breakEven;
  const saved = (ranks, cost) =>
    layers.reduce((total, l, i) => total + (cutAt(l, ranks[i]) ? l.costs[cost] - ranks[i] * l.perRank[cost] : 0), 0);
  const totals = { params: words.layer_params, macs: words.macs };
  const dropped = (ranks) =>
    layers.reduce((total, l, i) => total + (cutAt(l, ranks[i]) ? l.drop[ranks[i] - 1] : 0), 0);
  return {
    ...words,
    layers,
    full: layers.map((l) => l.full),
    paramsAt: (ranks) => words.n_params - saved(ranks, "params"),
    macsAt: (ranks) => words.macs - saved(ranks, "macs"),
    kept: (ranks, cost) => 1 - saved(ranks, cost) / totals[cost],
    predict: (ranks) =>
      Math.min(Math.max(words.accuracy - dropped(ranks), Math.min(1 / words.n_classes, words.accuracy)), 1),
    /* Until a layer's curve is measured, its drop is estimated from the spectrum. */
    isEstimate: (ranks) => layers.some((l, i) => cutAt(l, ranks[i]) && !l.measured.some(Boolean)),
    tried: arrays.predicted.length,
    cheapest: (rule, cost) => words.budgets[`${rule} ${cost}`].cheapest,
    budget: (thousandth, rule, cost) => {
      const table = arrays[`${rule} ${cost}`], names = words.budgets[`${rule} ${cost}`].layers;
      return layers.map((l) => {
        const column = names.indexOf(l.name);
        return column < 0 ? l.full : table[thousandth * names.length + column];
      });
    },
    predictionError: (predicted) => {
      if (arrays.predicted.length < NEIGHBOURS) return null;
      const off = [...arrays.predicted]
        .map((p, i) => [Math.abs(p - predicted), i])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1])
        .slice(0, NEIGHBOURS)
        .map(([, i]) => Math.abs(arrays.predicted[i] - arrays.observed[i]))
        .sort((a, b) => a - b);
      const at = 0.9 * (off.length - 1), low = Math.floor(at);
      return off[low] + (at - low) * ((off[low + 1] ?? off[low]) - off[low]);
    },
  };
}
