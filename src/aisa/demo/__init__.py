"""The demo: node, seller and agent as separate processes."""
