"""Looking at a library from a process of its own: one that crashes or hangs there takes nothing along.

`python -m apar.doctor.subprocess_probe NAME ARGUMENT...` prints what the probe of that name found as the last line, in
JSON.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apar.doctor.report import reason
from apar.errors import AparError, ModelError, RunError

if TYPE_CHECKING:
    from apar.models.model_source import ModelSource

SECONDS = 180.0
Facts = dict[str, Any]


def run_probe(name: str, *arguments: str, seconds: float = SECONDS) -> Facts:
    """What the probe of that name (`PROBES`) found. Raises RunError with the reason where it found nothing."""
    # Without -P a file in the working directory could stand in for a library.
    command = [sys.executable, "-P", "-m", __name__, name, *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"no answer within {seconds:.0f} seconds") from None
    answer = _last_line(done.stdout)
    if done.returncode != 0 or not answer.startswith("{"):
        raise RunError(_ending(done.returncode, _last_line(done.stderr)))
    facts: Facts = json.loads(answer)
    if "error" in facts:
        raise RunError(facts["error"])
    return facts


def _ending(code: int, last: str) -> str:
    """How a process ended that gave no answer."""
    if code >= 0:
        return last or f"it ended with code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"it crashed ({names.get(-code, f'signal {-code}')})"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def probe_torch() -> Facts:
    """PyTorch's version, the device that the engine chooses, and the bytes that are free there and on the host."""
    import torch

    from apar.models.device import choose_device
    from apar.models.memory import free_bytes

    device = choose_device("auto")
    facts: Facts = {"version": torch.__version__, "device": device.type, "cpu": torch.backends.cpu.get_cpu_capability()}
    for name in ("avx512_bf16", "amx_tile"):
        supported = getattr(torch.cpu, f"_is_{name}_supported", None)
        facts[name] = bool(supported and supported())
    if device.type == "cuda":
        facts |= {"gpu": torch.cuda.get_device_name(), "free_gpu": free_bytes(device)}
    return facts | {"free": free_bytes(torch.device("cpu")), "threads": torch.get_num_threads()}


def probe_vllm() -> Facts:
    """vLLM's version, and the kind of device that it would run on ("" for none).

    Raises RunError where its compiled kernels cannot be loaded on the CPU: vLLM only warns and fails at the first
    forward pass.
    """
    import torch
    import vllm
    from vllm import LLM  # noqa: F401 - brings in most of what an engine needs
    from vllm.platforms import current_platform

    device = current_platform.device_type or ""
    if device == "cpu":
        current_platform.import_kernels()
        if not hasattr(torch.ops._C, "silu_and_mul"):
            raise RunError(f"its compiled kernels cannot be loaded with PyTorch {torch.__version__} on this processor")
    return {"version": vllm.__version__, "device": device}


def probe_import(package: str) -> Facts:
    """Nothing, if a package can be imported."""
    __import__(package)
    return {}


def probe_model(model: str) -> Facts:
    """A model's type, context and weights, its tokenizer's control tokens and chat template, and its Medusa heads.

    Raises ModelError where the configuration or the tokenizer cannot be read.
    """
    from transformers import AutoConfig

    from apar.models.model_source import load_tokenizer, model_source, reason_of
    from apar.tokens import CHILD, FORK

    source = model_source(model)
    weights = _weights(source)
    try:
        config = AutoConfig.from_pretrained(source.path, **source.options)
    except Exception as error:  # files of a model hold whatever their author wrote
        raise ModelError(f"cannot read {model}: {reason_of(error, source.path)}") from error
    tokenizer = load_tokenizer(source)
    vocabulary = tokenizer.get_added_vocab()
    return {
        "type": config.model_type,
        "context": getattr(config, "max_position_embeddings", None),
        "weights": weights,
        "unsupported": _unsupported(config, model),
        "lacks": [token for token in (FORK, CHILD) if token not in vocabulary],
        "eos": tokenizer.eos_token_id is not None,
        "template": _template(tokenizer),
        **_heads(model),
    }


def _weights(source: ModelSource) -> int | None:
    """Bytes of the weights in a folder or GGUF file; None for a model of the hub, which may not be here yet.

    Raises ModelError for a GGUF file that is none, or is cut off.
    """
    folder = Path(source.path)
    if source.gguf_file is not None:
        from apar.models.gguf_file import gguf_path, read_gguf

        path = gguf_path(source)
        read_gguf(path)
        return path.stat().st_size
    if not folder.is_dir():
        return None
    return sum(file.stat().st_size for pattern in ("*.safetensors", "*.bin") for file in folder.glob(pattern))


def _unsupported(config: Any, name: str) -> str:
    """Why the local engine cannot decode a model in parallel; empty if it can."""
    try:
        from apar.models.load import check_supported

        check_supported(config, name)
    except (ModelError, ImportError) as error:  # without PyTorch a model can still be for a server
        return str(error)
    return ""


def _template(tokenizer: Any) -> str:
    """What keeps a question from being put to the model by its chat template; empty if nothing does."""
    from apar.tokens import encode_prompt

    try:
        encode_prompt(tokenizer, [{"role": "user", "content": "How are you?"}])
    except AparError as error:
        return str(error)
    return ""


def _heads(model: str) -> Facts:
    """How many Medusa heads come with a model, None for none; or why they cannot be read, else empty."""
    from apar import demo
    from apar.models.model_source import DEMO

    folder = demo.heads_folder() if model == DEMO else None
    if folder is None:
        return {"heads": None, "broken_heads": ""}
    try:
        from apar.models.head_files import load_heads

        return {"heads": load_heads(folder).shape.heads, "broken_heads": ""}
    except (ModelError, ImportError) as error:  # without PyTorch there is no engine for them either
        return {"heads": None, "broken_heads": str(error)}


PROBES: Mapping[str, Callable[..., Facts]] = {
    "torch": probe_torch,
    "vllm": probe_vllm,
    "import": probe_import,
    "model": probe_model,
}


def _main(name: str, *arguments: str) -> None:
    try:
        facts = PROBES[name](*arguments)
    except Exception as error:  # whatever a broken library raises
        facts = {"error": reason(error)}
    print("\n" + json.dumps(facts))


if __name__ == "__main__":
    _main(*sys.argv[1:])
