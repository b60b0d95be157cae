"""Compile the Triton kernels for NVIDIA GPUs; none needs to be present.

    python -m tests.engine.gpu.compile_kernels 80 90

Prints each kernel with the shared memory that it takes.
"""

from __future__ import annotations

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from apar.engine.gpu import kernels

_TENSORS = ("query", "key", "value", "keys", "values", "out")
_TABLES = ("blocks", "ends", "offsets", "slots", "write_source")
_WHOLE = (*_TABLES, "visible", "positions", "drafts", "tile_rows", "tile_firsts")
_SINGLE = ("sums", "tops", "masses")
_FLOATS = ("scale", "softcap")

ATTEND = {
    "KEY_HEADS": 8,
    "SIZE": 128,
    "SIZE_PADDED": 128,
    "BLOCK_SIZE": 16,
    "FOLDED": 4,
    "FOLDED_PADDED": 4,
    "TILE": 16,
    "SLOTS": 64,
    "WINDOW": 0,
    "CAPPED": False,
    "SPLITS": 1,
    "DRAFTS": False,
}
VARIANTS: list[tuple[Any, dict[str, Any]]] = [
    (kernels.attend, ATTEND),
    (kernels.attend, {**ATTEND, "SPLITS": 8}),
    (kernels.attend, {**ATTEND, "TILE": 64, "WINDOW": 4096, "CAPPED": True}),
    (kernels.attend, {**ATTEND, "WINDOW": 4096, "DRAFTS": True}),
    (kernels.join, {"SIZE": 80, "SIZE_PADDED": 128, "SPLITS": 8}),
    (kernels.store, {"KEY_HEADS": 8, "SIZE": 80, "SIZE_PADDED": 128, "BLOCK_SIZE": 16, "DUPLICATED": True}),
]


def compile_for(kernel: Any, constants: dict[str, Any], architecture: int) -> Any:
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else _type(name) for name in names}
    places = {name: (number,) for number, name in enumerate(names)}
    # As at run time: tensors begin at a multiple of 16 bytes.
    aligned = {places[name]: [["tt.divisibility", 16]] for name, kind in signature.items() if kind.startswith("*")}
    constexprs = {places[name]: value for name, value in constants.items()}
    source = ASTSource(kernel, signature, constexprs=constexprs, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"enable_fp_fusion": True})


def _type(name: str) -> str:
    kinds = {"*bf16": _TENSORS, "*i64": _WHOLE, "*fp32": _SINGLE, "fp32": _FLOATS}
    return next((kind for kind, names in kinds.items() if name in names), "i32")


def main() -> None:
    for architecture in map(int, sys.argv[1:]):
        for kernel, constants in VARIANTS:
            compiled = compile_for(kernel, constants, architecture)
            assert compiled.asm["cubin"]
            print(kernel.fn.__name__, architecture, compiled.metadata.shared)


if __name__ == "__main__":
    main()
