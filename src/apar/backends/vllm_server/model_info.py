"""The model that a server serves: its name there, the context, and whether its tokens are those of our tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apar.client.http import HttpClient
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ModelError, RunError
from apar.tokens import CHILD, FORK


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`context` is the longest path in tokens."""

    name: str
    context: int


def find_model(http: HttpClient, wanted: str | None) -> ModelInfo:
    """The model `wanted`, or the only one. Raises ModelError where there is no such one, or no vLLM."""
    name, context = find_served(http, wanted)
    if context is None:
        raise ModelError(
            f"the server at {http.address} does not say how long the context of {name} is (max_model_len): "
            "it must be a vLLM server; any other is asked by --backend completions"
        )
    return ModelInfo(name, context)


def find_served(http: HttpClient, wanted: str | None) -> tuple[str, int | None]:
    """The name of the model `wanted`, or of the only one, and how long its context is, if the server says so.

    Raises ModelError where there is no such model.
    """
    models = _models(http)
    if wanted is None and len(models) > 1:
        raise ModelError(f"the server at {http.address} serves {', '.join(models)}; name one by served_model")
    name = next(iter(models)) if wanted is None else wanted
    if name not in models:
        raise ModelError(f"the server at {http.address} serves {', '.join(models)}, and no {name}")
    # That of an adapter is with the model it belongs to.
    holder = models[name]
    context = holder.get("max_model_len") or models.get(holder.get("parent") or "", {}).get("max_model_len")
    return name, context if isinstance(context, int) and context > 0 else None


def _models(http: HttpClient) -> dict[str, dict[str, Any]]:
    try:
        models = {str(card["id"]): dict(card) for card in _ask(http, "/v1/models")["data"]}
    except (KeyError, TypeError, ValueError):
        models = {}
    if any(card.get("owned_by") == "apar" for card in models.values()):
        raise ModelError(
            f"the server at {http.address} is one of `apar serve`, which forks by itself: ask it by "
            "`apar chat --url` or any client of OpenAI's API"
        )
    if not models:
        raise ModelError(f"the server at {http.address} lists no models under /v1/models: is it the right one?")
    return models


def check_vocabulary(http: HttpClient, served: ModelInfo, vocabulary: Vocabulary, model: str) -> None:
    """Raise ModelError where the server's control tokens are others. One that hides /tokenize is believed."""
    if vocabulary.control is None:
        return
    question = {"model": served.name, "prompt": FORK + CHILD, "add_special_tokens": False}
    answer = _ask(http, "/tokenize", question)
    tokens = answer.get("tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, list):
        return
    wanted = [vocabulary.control.fork, vocabulary.control.child]
    if [token for token in tokens if token in wanted] != wanted:
        raise ModelError(
            f"{served.name} of the server at {http.address} reads {FORK}{CHILD} as the tokens {tokens}, {model} as "
            f"{wanted}: they are not the same model"
        )


def _ask(http: HttpClient, path: str, question: dict[str, Any] | None = None) -> Any:
    """The JSON that the server answers with, None where it knows no such path; raises RunError where it is none."""
    response = http.ask(path, question)
    if response.status in (404, 405):
        return None
    if response.status != 200:
        raise http.endpoint.refusal(response)
    try:
        return response.json()
    except RunError as error:
        raise RunError(f"the server at {http.address} answers {path}: {error}") from error
    except ValueError as error:
        raise RunError(f"the server at {http.address} answers {path} with what is no JSON") from error
