"""Compiling the C++ kernels at run time, once per machine and source."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import torch

_SOURCES = ("linear.cpp", "attention.cpp", "rows.cpp")
_HEADERS = ("vectors.h", "softmax.h")
_FLAGS = (
    "-std=c++20",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-DAT_PARALLEL_OPENMP=1",
    "-fPIC",
    "-Wno-psabi",
    # Fused multiply-add; nothing that changes the order of a sum.
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
)
_MINUTES = 10

log = logging.getLogger("apar.native")


@functools.cache
def available() -> bool:
    """Whether the kernels are loaded, compiling them if need be: about half a minute, once.

    False, with the reason in the log, where there is no C++ compiler or it fails.
    """
    try:
        torch.ops.load_library(str(_library()))  # type: ignore[no-untyped-call]
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        log.warning("no native kernels, attention and linear layers run on PyTorch alone: %s", _reason(error))
        return False
    return True


def _library() -> Path:
    """The compiled library in the user's cache folder."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise OSError("there is no C++ compiler (c++)")
    folder = Path(str(resources.files(__package__)))
    library = _cache_folder() / f"native-{_fingerprint(folder, compiler)}.so"
    if not library.is_file():
        library.parent.mkdir(parents=True, exist_ok=True)
        log.info("compiling the kernels for this machine")
        _compile(compiler, folder, library)
    return library


def _compile(compiler: str, folder: Path, library: Path) -> None:
    """Compile beside the target, the sources side by side, and move into place: several processes may do so at once."""
    from torch.utils.cpp_extension import include_paths, library_paths

    includes = [f"-I{path}" for path in include_paths()]
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}"
    libraries = [f"-L{path}" for path in library_paths()] + ["-lc10", "-ltorch_cpu", "-ltorch"]
    with tempfile.TemporaryDirectory(dir=library.parent) as place, ThreadPoolExecutor() as pool:
        objects = [f"{place}/{name}.o" for name in _SOURCES]
        commands = [
            [compiler, *_FLAGS, abi, *includes, "-c", str(folder / name), "-o", result]
            for name, result in zip(_SOURCES, objects, strict=True)
        ]
        list(pool.map(_call, commands))
        result = Path(place) / library.name
        _call([compiler, *_FLAGS, "-shared", *objects, *libraries, "-o", str(result)])
        result.replace(library)


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60 * _MINUTES)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apar"


def _fingerprint(folder: Path, compiler: str) -> str:
    """Of all that the library depends on."""
    digest = hashlib.blake2b(digest_size=12)
    for name in (*_SOURCES, *_HEADERS):
        digest.update((folder / name).read_bytes())
    digest.update(repr((_FLAGS, compiler, torch.__version__, platform.machine(), _processor())).encode())
    return digest.hexdigest()


def _processor() -> str:
    """What the processor can do: a home folder may be shared by different machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if "error" in line]
        return lines[0] if lines else f"the compiler ended with {error.returncode}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
