"""Accounts, transfers and holds: the rules, the store's port and its engines."""
