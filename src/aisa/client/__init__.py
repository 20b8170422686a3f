"""Typed client of the node's HTTP API."""
