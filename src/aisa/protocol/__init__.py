"""Wire formats and signing bytes: pure, frozen types and functions; no I/O, no keys."""
