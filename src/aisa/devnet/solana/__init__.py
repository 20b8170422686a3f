"""SVM in process: real VM and token programs, simulated consensus.

LiteSVM behind Solana's JSON-RPC, started with `python -m aisa.devnet.solana`. Programs, fees and
signatures are real; blocks, leaders and forks are not.
"""
