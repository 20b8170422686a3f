"""Every network on this machine, for development; holds no real value."""
