"""A vLLM server: is it reachable, which version and models has it, and does it take and give token ids."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from apar.backends.vllm.versions import BELOW, LOWEST, within_bounds
from apar.doctor.check import Check, Finding, examine
from apar.errors import RunError, UserError

_NEEDED_BY = ("server",)
_SECONDS = 30.0
_PROMPT = [1, 1]
"""Ids that any vocabulary has."""


class Server:
    """A vLLM server by its address, with or without /v1 at the end. Raises UserError for what is no address."""

    def __init__(self, url: str, key: str | None = None, seconds: float = _SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"the server is {url!r}; give its address as http://host:8000")
        self.address = url.rstrip("/").removesuffix("/v1")
        self._key = key
        self._seconds = seconds

    def get(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that a path answers with. Raises RunError where the answer is anything else."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._seconds) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise RunError(f"{path} answers {error.code}: {_message(error)}") from error
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise RunError(f"{self.address}{path}: {why}") from error
        if not isinstance(answer, dict):
            raise RunError(f"{path} answers with {type(answer).__name__}, not with an object")
        return answer


def server_checks(server: Server, model: str | None = None, name: str | None = None) -> list[Check]:
    """Whether the server answers; if so its models, and if it has one what a request of one token brings.

    Asked is the model of that `name`, and with none the one that was loaded from `model`, or else the first.
    """
    start = f"start it with `vllm serve MODEL`, or give another address than {server.address}"
    checks = [examine("server", _NEEDED_BY, lambda: _version(server), start)]
    if checks[0].finding.status == "broken":
        return checks
    access = "give the address of a vLLM server, and the key that it asks for by --api-key"
    served: list[str] = []
    checks.append(examine("its models", _NEEDED_BY, lambda: _models(server, model, name, served), access))
    if served:
        advice = "decoding by a server needs the completions of vLLM, with prompts and answers of token ids"
        checks.append(examine("its completions", _NEEDED_BY, partial(_completion, server, served[0]), advice))
    return checks


def _version(server: Server) -> Finding:
    version = str(server.get("/version").get("version", "unknown"))
    if not within_bounds(version):
        return Finding("missing", f"vLLM {version}", f"use vLLM {LOWEST} or later, below {BELOW}")
    return Finding("ok", f"vLLM {version} at {server.address}")


def _models(server: Server, model: str | None, name: str | None, served: list[str]) -> Finding:
    """Fill `served` with the name of the model to ask, if there is one."""
    entries = [entry for entry in server.get("/v1/models").get("data", []) if "id" in entry]
    shown = ", ".join(f"{entry['id']} (context {entry.get('max_model_len', 'unknown')})" for entry in entries)
    if not entries:
        return Finding("missing", "none", "start the server with a model")
    if name is not None and name not in [entry["id"] for entry in entries]:
        return Finding("missing", shown, f"there is no {name}; give one of these by --served-model")
    entries.sort(key=lambda entry: name != entry["id"] if name else model not in (entry["id"], entry.get("root")))
    served.append(str(entries[0]["id"]))
    return Finding("ok", shown)


def _completion(server: Server, name: str) -> Finding:
    """Ask for one token after a prompt of ids, and for the ids of both."""
    body = {"model": name, "prompt": _PROMPT, "max_tokens": 1, "temperature": 0, "return_token_ids": True}
    answer = server.get("/v1/completions", body)
    choice = (answer.get("choices") or [{}])[0]
    if not isinstance(choice.get("token_ids"), list) or len(choice["token_ids"]) > 1:
        raise RunError(f"{name} answers without token ids, though return_token_ids was set")
    if choice.get("prompt_token_ids") != _PROMPT:
        raise RunError(f"{name} was given the prompt {_PROMPT} and read {choice.get('prompt_token_ids')}")
    return Finding("ok", f"{name} takes token ids and gives them")


def _message(error: urllib.error.HTTPError) -> str:
    """What a server says of an error, on one line."""
    text = error.read(2000).decode(errors="replace")
    try:
        found = json.loads(text)
        text = str(found["error"]["message"] if isinstance(found.get("error"), dict) else found.get("error", text))
    except (ValueError, KeyError, AttributeError):
        pass
    return " ".join(text.split())[:200] or error.reason
