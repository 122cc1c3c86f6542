/* Layers with one rank. */

function readTables(words, arrays) {
  let start = 0;
  const layers = words.layers.map((layer) => {
    const [m, n] = layer.shape, full = Math.min(m, n);
    const part = (name) => arrays[name].subarray(start, start + full);
    const [values, drop, measured] = [part("values"), part("drop"), part("measured")];
    start += full;
    const breakEven = Math.floor((m * n - 1) / (m + n));
    const costs = { params: layer.groups * m * n, macs: layer.macs };
    const perRank = { params: layer.groups * (m + n), macs: layer.rank_macs };
    const saves = ([rank]) => rank <= breakEven;
    const saved = ([rank], cost) => (saves([rank]) ? costs[cost] - rank * perRank[cost] : 0);
    const lost = ([rank]) => (saves([rank]) ? drop[rank - 1] : 0);
    return {
      ...layer, full, fulls: [full], size: costs.params, costs, perRank, breakEven, saves, saved, lost,
      values, squares: squaresOf(values), isMeasured: measured.some(Boolean),
    };
  });
  return networkTables(words, arrays, layers, { params: words.layer_params, macs: words.macs });
}
