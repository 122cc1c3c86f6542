"""How long things take, as ratios or distributions from one run; tests assert no times, this does the telling."""
