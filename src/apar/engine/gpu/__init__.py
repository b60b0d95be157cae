"""What the engine does differently on a GPU: a Triton kernel for attention, and CUDA graphs."""

from apar.engine.gpu.graphs import CudaGraphs, StaticPasses
from apar.engine.gpu.triton_attention import TritonAttention

__all__ = ["CudaGraphs", "StaticPasses", "TritonAttention"]
