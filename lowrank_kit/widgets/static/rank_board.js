/* The rank board: a slider a layer, and the spectrum of the chosen one. */

function rankParts({ t, f, act, tables }) {
  let chosen = null;
  const spectrum = spectrumChart(t, f, (rank) => (rank ? act.ranks(chosen.column, rank) : act.settle()), facts);

  function facts(share, rank, isDense) {
    return [
      fill(t.rank_of, { rank, full: chosen.full }),
      ...(isDense && rank < chosen.full ? [fill(t.stays_dense, { rank })] : []),
      fill(t.energy, { energy: f.percent1(share) }),
      fill(t.error, { error: f.percent1(Math.sqrt(Math.max(1 - share, 0))) }),
    ];
  }

  return {
    rows: tables.layers.map((layer, i) => rankRow(layer, i, t, f, act)),
    charts: [spectrum.node],
    choose: (layer) => {
      chosen = layer;
      spectrum.choose(layer, fill(t.spectrum, { layer: layer.name }));
    },
    draw: ([rank]) => spectrum.draw(rank, chosen.breakEven),
  };
}

function rankRow(layer, index, t, f, act) {
  const { name, full, column, breakEven } = layer;
  const slider = rankSlider({ name, label: fill(t.layer_rank, { layer: name }), key: name, full, column, index }, t, act);
  const share = h("span", { class: "lrk-share" });
  const times = layer.groups > 1 ? `${layer.groups} × ` : "";
  const node = h("div", { class: "lrk-row", onpointerdown: () => act.choose(index) },
    layerName(layer, t, times + layer.shape.join(" × ")), slider.range, slider.typed, share);

  function draw([rank]) {
    const isDense = rank > breakEven;
    const text = isDense ? t.dense : f.percent((rank * layer.perRank.params) / layer.costs.params);
    slider.draw(rank, breakEven, text);
    if (node.dataset.dense !== String(isDense)) node.dataset.dense = isDense;
    write(share, text);
  }
  return { node, draw };
}

export default { render: boardOf(rankParts) };
