"""SPL tokens on Solana."""
