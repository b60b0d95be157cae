"""Decoding by vLLM: on a GPU or on the CPU, in this process or by a server."""
