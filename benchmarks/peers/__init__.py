"""The other side of a comparison; each runs in an environment of its own."""
