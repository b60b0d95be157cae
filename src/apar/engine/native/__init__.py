"""Kernels for the CPU in C++, compiled when first used; without a compiler the engine runs on PyTorch alone."""

from apar.engine.native.attention import NativeAttention
from apar.engine.native.fused_modules import fuse
from apar.engine.native.linear import pack_linears

__all__ = ["NativeAttention", "fuse", "pack_linears"]
