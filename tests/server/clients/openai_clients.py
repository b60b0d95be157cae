"""The official client of OpenAI's API, told where our server is and nothing else."""

from __future__ import annotations

import openai

from tests.server.served import KEY, MODEL, Served

QUESTION = "Give me five tips for sleeping better."
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 60}
GREEDY = {**ASKED, "temperature": 0}
# At a temperature of 1 the seed alone makes an answer what it is.
SAMPLED = {**ASKED, "temperature": 1, "seed": 7}


def client(served: Served, key: str = KEY, **options: object) -> openai.OpenAI:
    """A client that asks once: what a server refuses is seen."""
    return openai.OpenAI(base_url=served.url, api_key=key, max_retries=0, **options)


def async_client(served: Served) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=served.url, api_key=KEY, max_retries=0)
