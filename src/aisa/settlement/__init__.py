"""Layer 1: rails to real networks, behind one port."""
