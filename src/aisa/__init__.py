"""AISA: how machines pay machines."""
