"""The agent's side: pay for calls within limits that its owner set."""
