"""Layer 2: deposits, withdrawals, channels and redemptions; marries ledger and rails."""
