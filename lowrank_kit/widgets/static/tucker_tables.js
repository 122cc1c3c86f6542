/* Convolutions with two ranks, as records/tucker_tables.py reads them. */

function readTables(words, arrays) {
  const at = { values: 0, errors: 0, knots: 0, drops: 0 };
  const take = (name, n) => arrays[name].subarray(at[name], (at[name] += n));
  const layers = words.layers.map((layer) => {
    const [m, n, ...kernel] = layer.shape, size = layer.shape.reduce((a, b) => a * b), core = size / (m * n);
    const modes = [m, n].map((full) => {
      const values = take("values", full);
      return { values, full, squares: squaresOf(values) };
    });
    const [errors, knots, drops] = [take("errors", m * n), take("knots", layer.n_knots), take("drops", layer.n_knots)];
    const prices = { params: [size, m, n, core], macs: [layer.macs, ...layer.rank_macs, layer.pair_macs] };
    const saved = ([o, i], cost) => {
      const [dense, outputs, inputs, both] = prices[cost];
      return saves([o, i]) ? dense - outputs * o - inputs * i - both * o * i : 0;
    };
    const saves = ([o, i]) => core * o * i + m * o + n * i < size;
    const error = ([o, i]) => (saves([o, i]) ? errors[(o - 1) * n + i - 1] : 0);
    /* The largest rank of one mode that saves beside the other's. */
    const even = [
      (i) => Math.min(Math.ceil((size - n * i) / (core * i + m)) - 1, m),
      (o) => Math.min(Math.ceil((size - m * o) / (core * o + n)) - 1, n),
    ];
    return {
      ...layer, kernel, modes, size, fulls: [m, n], even, error, saves, saved, isMeasured: layer.measured,
      errorAt: (o, i) => errors[(o - 1) * n + i - 1],
      lost: (ranks) => interpolate(error(ranks), knots, drops),
    };
  });
  const macs = layers.reduce((total, l) => total + l.macs, 0);
  return networkTables(words, arrays, layers, { params: words.layer_params, macs });
}

/* Between knots in a straight line, from nothing at 0. */
function interpolate(x, knots, values) {
  const i = knots.findIndex((knot) => knot >= x);
  if (i < 0) return values.at(-1);
  const [x0, y0] = i ? [knots[i - 1], values[i - 1]] : [0, 0];
  return y0 + ((values[i] - y0) * (x - x0)) / (knots[i] - x0 || 1);
}
