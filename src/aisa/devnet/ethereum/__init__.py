"""Ethereum and Polygon on this machine: one anvil process each, with contracts and test money.

A real EVM runs real contracts under real gas; one process makes the blocks, and re-orgs happen only
when a test asks for one. Started with `python -m aisa.devnet.ethereum`.
"""
