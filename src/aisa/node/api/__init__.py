"""The HTTP API, one module for each noun; every answer and request is a message of `aisa.client`."""
