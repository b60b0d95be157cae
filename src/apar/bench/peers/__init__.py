"""Other engines to compare sequential decoding with: each in a process of its own, and only where it is installed.

`worker.py` runs in the peer's Python, which need not have this package: it and the adapters beside it import
nothing of it. `process.py` is this side.
"""
