"""The node: the only room that knows every other."""
