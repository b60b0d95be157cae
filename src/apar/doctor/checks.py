"""All checks of one call: this installation, the machine, and a model and a server where they are given."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apar.backends.vllm.versions import BELOW, LOWEST, within_bounds
from apar.cpus import available, quota
from apar.doctor.cpus import cpu_finding
from apar.doctor.packages import package_checks, vllm_checks
from apar.doctor.report import Check, Diagnosis, Finding, examine
from apar.doctor.subprocess_probe import run_probe
from apar.errors import RunError
from apar.sizes import counted

if TYPE_CHECKING:
    from apar.client.http import HttpClient

BACKENDS = ("local", "vllm")
_TINY = "#include <omp.h>\n#include <concepts>\nint main() { return omp_get_max_threads() < 1; }\n"
_FLAGS = ("-std=c++20", "-march=native", "-fopenmp", "-fsyntax-only", "-x", "c++")
_SERVER = ("server",)
_HTTPX = "pip install 'apar-llm[remote]'"
_PROMPT = [1, 1]
"""Ids that any vocabulary has."""


def diagnose(
    model: str | None = None,
    backend: str | None = None,
    url: str | None = None,
    api_key: str | None = None,
    served_model: str | None = None,
) -> Diagnosis:
    """Look at this installation, and at a model and a server where they are given.

    A backend that is named has to work, and so have the model and the server; with none named the backends are
    looked at for information. A server stands for the vLLM backend: vLLM need not be installed here then.
    Raises UserError for what is no URL or no API key.
    """
    of_server = [] if url is None else server_checks(url, api_key, model, served_model)
    backends = BACKENDS if backend is None else () if url is not None else (backend,)
    checks = [*package_checks(), *machine_checks()]
    if "vllm" in backends:
        checks += vllm_checks()
    if model is not None:
        checks += model_checks(model)
    checks += of_server
    given = [name for name, value in (("model", model), ("server", url)) if value is not None]
    asked = [backend] if backend and url is None else []
    return Diagnosis(tuple(checks), (*asked, *given), (*backends, *given))


def machine_checks() -> list[Check]:
    """PyTorch and, where it works, the CPUs, the device and the memory; then the compiler."""
    facts: dict[str, Any] = {}

    def torch() -> Finding:
        if importlib.util.find_spec("torch") is None:
            return Finding("missing", "not installed", "pip install 'apar-llm[local]'")
        facts.update(run_probe("torch"))
        return Finding("ok", f"{facts['version']} with {counted(facts['threads'], 'thread')}")

    def cpus() -> Finding:
        return cpu_finding(facts["threads"], available(), quota(), os.environ, os.getloadavg()[0])

    checks = [examine("PyTorch", ("local", "vllm"), torch, "install torch again, a build for this machine")]
    if facts:
        checks.append(examine("CPUs", (), cpus))
        checks.append(examine("device", (), lambda: _device(facts)))
        checks.append(examine("free memory", (), lambda: _memory(facts)))
    return [*checks, examine("C++ compiler", (), _compiler)]


def _device(facts: dict[str, Any]) -> Finding:
    if facts["device"] == "cuda":
        return Finding("ok", f"GPU {facts['gpu']}")
    known = [name for name in ("avx512_bf16", "amx_tile") if facts[name]]
    return Finding("ok", f"CPU, vectors {', '.join([facts['cpu'], *known])}; PyTorch finds no GPU")


def _memory(facts: dict[str, Any]) -> Finding:
    host = f"{_gib(facts['free'])} on the host"
    return Finding("ok", f"{_gib(facts['free_gpu'])} on the GPU, {host}" if "free_gpu" in facts else host)


def _compiler() -> Finding:
    """Whether the compiler that the engine would call takes what its kernels are written in."""
    name = os.environ.get("CXX", "c++")
    without = "without it the engine runs on PyTorch alone on the CPU, slower"
    compiler = shutil.which(name)
    if compiler is None:
        return Finding("missing", f"there is no {name}", f"install GCC or Clang, or set CXX; {without}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "tiny.cpp"
        source.write_text(_TINY, encoding="ascii")
        done = subprocess.run([compiler, *_FLAGS, str(source)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        error = next((line for line in done.stderr.splitlines() if "error" in line), f"{name} fails")
        return Finding("broken", error.strip(), f"install one with C++20 and OpenMP, or set CXX; {without}")
    return Finding("ok", compiler)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def model_checks(model: str) -> list[Check]:
    """Whether the model is there; and if so its tokens, its template and what the local engine says of it."""
    facts: dict[str, Any] = {}

    def found() -> Finding:
        if importlib.util.find_spec("transformers") is None:
            return Finding("missing", "cannot be read without Transformers", "pip install 'apar-llm[local]'")
        facts.update(run_probe("model", model))
        return _model(facts)

    checks = [examine("model", ("model",), found, "give a folder with a model, a GGUF file, a hub id, or `demo`")]
    if not facts:
        return checks
    return [
        *checks,
        examine("control tokens", ("model",), lambda: _control_tokens(facts)),
        examine("chat template", (), lambda: _chat_template(facts)),
        examine("local engine", ("local",), lambda: _local_engine(facts)),
        examine("Medusa heads", (), lambda: _medusa_heads(facts)),
    ]


def _model(facts: dict[str, Any]) -> Finding:
    context = f"context {facts['context']:,} tokens" if facts["context"] else "no context given"
    about = f"{facts['type']}, {context}"
    if facts["weights"] is None:
        return Finding("ok", f"{about}, from the hub")
    if facts["weights"] == 0:
        return Finding("missing", f"{about}, no weights", "save or download the model again, with its weights")
    return Finding("ok", f"{about}, weights {facts['weights'] / (1 << 20):,.0f} MiB")


def _control_tokens(facts: dict[str, Any]) -> Finding:
    if facts["lacks"]:
        advice = "train it with `apar train`; it can only be decoded without forks (--fork off)"
        return Finding("missing", f"the tokenizer lacks {' and '.join(facts['lacks'])}", advice)
    if not facts["eos"]:
        return Finding("missing", "no end-of-sequence token", "set eos_token in tokenizer_config.json")
    return Finding("ok", "[Fork] and [Child], and an end-of-sequence token")


def _chat_template(facts: dict[str, Any]) -> Finding:
    if not facts["template"]:
        return Finding("ok", "takes a question")
    what, _, advice = facts["template"].partition("; ")
    return Finding("missing" if advice else "broken", what, advice or "give prompts as token ids")


def _local_engine(facts: dict[str, Any]) -> Finding:
    if facts["unsupported"]:
        return Finding("broken", facts["unsupported"], "vLLM may take it: --backend vllm")
    return Finding("ok", "can decode it in parallel threads")


def _medusa_heads(facts: dict[str, Any]) -> Finding:
    if facts["broken_heads"]:
        return Finding("broken", facts["broken_heads"], "--drafts off decodes the same text without them")
    if facts["heads"] is None:
        return Finding("ok", "none come with it; --medusa HEADS names some for --backend local")
    return Finding("ok", f"{facts['heads']} come with it, and draft unless --drafts off is given")


def server_checks(
    url: str, api_key: str | None = None, model: str | None = None, name: str | None = None
) -> list[Check]:
    """Whether a vLLM server answers; if so its models, and if it has one what a request of one token brings.

    Asked is the model of that `name`, and with none the one that was loaded from `model`, or else the first.
    Raises UserError for what is no URL or no API key.
    """
    if importlib.util.find_spec("httpx") is None:
        return [Check("server", Finding("missing", "cannot be asked without httpx", _HTTPX), _SERVER)]
    from apar.client.http import Endpoint, HttpClient

    with HttpClient(Endpoint(url, api_key), follow_redirects=True) as http:
        start = f"start it with `vllm serve MODEL`, or give another address than {http.address}"
        checks = [examine("server", _SERVER, lambda: _version(http), start)]
        if checks[0].finding.status == "broken":
            return checks
        access = "give the address of a vLLM server, and the key that it asks for by --api-key"
        served: list[str] = []
        checks.append(examine("its models", _SERVER, lambda: _models(http, model, name, served), access))
        if served:
            advice = "decoding by a server needs the completions of vLLM, with prompts and answers of token ids"
            checks.append(examine("its completions", _SERVER, lambda: _completion(http, served[0]), advice))
        return checks


def _version(http: HttpClient) -> Finding:
    version = str(_ask(http, "/version").get("version", "unknown"))
    if not within_bounds(version):
        return Finding("missing", f"vLLM {version}", f"use vLLM {LOWEST} or later, below {BELOW}")
    return Finding("ok", f"vLLM {version} at {http.address}")


def _models(http: HttpClient, model: str | None, name: str | None, served: list[str]) -> Finding:
    """Fill `served` with the name of the model to ask, if there is one."""
    entries = [entry for entry in _ask(http, "/v1/models").get("data", []) if "id" in entry]
    shown = ", ".join(f"{entry['id']} (context {entry.get('max_model_len', 'unknown')})" for entry in entries)
    if not entries:
        return Finding("missing", "none", "start the server with a model")
    if name is not None and name not in [entry["id"] for entry in entries]:
        return Finding("missing", shown, f"there is no {name}; give one of these by --remote-model")
    entries.sort(key=lambda entry: name != entry["id"] if name else model not in (entry["id"], entry.get("root")))
    served.append(str(entries[0]["id"]))
    return Finding("ok", shown)


def _completion(http: HttpClient, name: str) -> Finding:
    """Ask for one token after a prompt of ids, and for the ids of both."""
    body = {"model": name, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0, "return_token_ids": True}
    answer = _ask(http, "/v1/completions", body)
    choice = (answer.get("choices") or [{}])[0]
    if not isinstance(choice.get("token_ids"), list) or len(choice["token_ids"]) > 1:
        raise RunError(f"{name} answers without token ids, though return_token_ids was set")
    if choice.get("prompt_token_ids") != _PROMPT:
        raise RunError(f"{name} was given the prompt {_PROMPT} and read {choice.get('prompt_token_ids')}")
    return Finding("ok", f"{name} takes token ids and gives them")


def _ask(http: HttpClient, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object that a path answers with. Raises RunError where the answer is anything else."""
    from apar.client.errors import message_of

    try:
        response = http.ask(path, body)
        answer = response.json() if response.status == 200 else None
    except (RunError, ValueError) as error:
        why = error.__cause__ or error
        raise RunError(f"{http.address}{path}: {str(why) or type(why).__name__}") from error
    if response.status != 200:
        raise RunError(f"{path} answers {response.status}: {message_of(response.text) or 'nothing'}")
    if not isinstance(answer, dict):
        raise RunError(f"{path} answers with {type(answer).__name__}, not with an object")
    return answer
