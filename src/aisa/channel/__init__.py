"""Channels, sessions and lanes as a state machine, and the port of the payee's store."""
