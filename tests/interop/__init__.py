"""Other implementations of x402 and MPP and AISA's, each against each, with tokens that move."""
