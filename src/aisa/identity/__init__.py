"""Keys, signers and agent ids."""
