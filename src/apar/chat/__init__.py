"""Talking with a model over many turns: what is said so far, and a server that answers."""
