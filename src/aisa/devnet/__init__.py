"""Networks that run on this machine, so that money in tests and demos is tokens on a real engine.

Nothing here is a rail and no rail imports it: a devnet is the outside world. Only the command line
and the demo start one.
"""
