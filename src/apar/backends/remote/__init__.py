"""A vLLM server elsewhere, asked by HTTP: forks are carried out on this side, by requests of their own."""

from apar.backends.remote.engine import RemoteBackend

__all__ = ["RemoteBackend"]
