"""What a node does by itself: each worker goes on from the ledger after any error or crash."""
