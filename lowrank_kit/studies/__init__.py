"""Does it pay? Sweeps over networks, methods, rules, budgets and seeds that lose nothing."""
