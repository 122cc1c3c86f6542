"""What is true? NumPy and SciPy in float64; no torch, no files, no clocks."""
