"""Wire formats and signing bytes as pure, frozen types and functions; no I/O."""
