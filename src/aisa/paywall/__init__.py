"""The seller's side: ask for payment, check it, charge what was served."""
