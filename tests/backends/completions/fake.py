"""A server with OpenAI's completions, as llama.cpp's: texts in, pieces of text out, no token ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.backends.lists import PIECES, ListModel, list_tokenizer
from tests.backends.vllm_server.fake import Body, FakeServer, Reply, event

NAME = "lists"


@dataclass
class TextServer(FakeServer):
    """`has` names what there is beside completions; `tokenizes` with the tokenizer of its model."""

    model: ListModel = field(default_factory=lambda: ListModel(16, fork=4.0, eos=-9.0))
    context: int = 4000
    cards: list[dict[str, Any]] | None = field(default_factory=lambda: [{"id": NAME, "object": "model"}])
    has: tuple[str, ...] = ("/props", "/tokenize", "/apply-template")
    tells_usage: bool = True

    def _answer(self, path: str, headers: dict[str, str], body: Body) -> Reply | None:
        if path in ("/props", "/tokenize", "/apply-template"):
            return self._beside(path, body) if path in self.has else Reply(404, {"error": "no such path"})
        if path == "/v1/completions" and _count(body["prompt"]) >= self.context:
            said = "the request exceeds the available context size, try increasing it"
            return Reply(400, {"error": {"code": 400, "message": said, "type": "exceed_context_size_error"}})
        return super()._answer(path, headers, body)

    def _beside(self, path: str, body: Body) -> Reply:
        if path == "/props":
            return Reply(200, {"default_generation_settings": {"n_ctx": self.context}})
        if path == "/tokenize":
            return Reply(200, {"tokens": list_tokenizer().encode(body["content"])})
        return Reply(200, {"prompt": "".join(message["content"] for message in body["messages"])})

    async def _chunks(self, body: Body) -> AsyncIterator[bytes]:
        text, count, reason = body["prompt"], 0, None
        while reason is None:
            await asyncio.sleep(self._rng.uniform(0, 2 * self.pause))
            token = self._next(body, text)
            count += 1
            full = count == body["max_tokens"] or _count(text) + 1 >= self.context
            reason = "stop" if token == 0 else "length" if full else None
            text += PIECES[token] if token else ""
            if token:
                yield event({"choices": [{"index": 0, "text": PIECES[token], "finish_reason": None}]})
        yield event({"choices": [{"index": 0, "text": "", "finish_reason": reason}]})
        if self.tells_usage:
            yield event({"choices": [], "usage": {"completion_tokens": count}})
        yield b"data: [DONE]\n\n"

    def _next(self, body: Body, text: str) -> int:
        """The likeliest piece; what is drawn above temperature 0 is drawn from the seed."""
        logits = self.model.behind(text)
        for token, bias in body.get("logit_bias", {}).items():
            logits[int(token)] += bias
        if body.get("ignore_eos"):
            logits[0] = -1000.0
        if body["temperature"]:
            import random

            rng = random.Random(repr((body["seed"], text)))
            return rng.choices(range(len(logits)), [2.0**logit for logit in logits])[0]
        return max(range(len(logits)), key=logits.__getitem__)


def _count(text: str) -> int:
    return len(list_tokenizer().encode(text))
