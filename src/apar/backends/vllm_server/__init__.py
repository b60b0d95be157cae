"""A vLLM server elsewhere, asked by HTTP: forks are carried out on this side, by requests of their own."""

from apar.backends.vllm_server.engine import VllmServerBackend

__all__ = ["VllmServerBackend"]
