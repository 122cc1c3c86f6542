"""What if? Boards: Python computes tables once for every rank, the browser only indexes, sums and draws."""
