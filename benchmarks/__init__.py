"""Every claim of speed, measured: `make bench` prints the table and writes build/bench.json."""
