"""A rail in memory, with delay, fees, failure and doubt that a test can set."""
