"""A tiny model that writes lists, with a tokenizer of pieces of lists: it forks by the form of its text."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from apar.engine.async_llm import AsyncLLM
from apar.engine.llm import LLM
from tests.engine.rules_lives import PIECES, Case

QUESTION = "Any tips?"
SEED = 132


def list_tokenizer() -> PreTrainedTokenizerFast:
    """The longest pieces; what is no piece becomes `<eos>`, whose text is empty."""
    pieces = [(piece, 0.0 if not number else -1.0) for number, piece in enumerate(PIECES)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<eos>",
        chat_template="{% for turn in messages %}{{ turn['content'] }}{% endfor %}",
    )


def list_llm(seed: int = SEED, blocks: int = 400) -> LLM:
    """The model of a case of the random lives, in the engine."""
    case = Case(seed)
    return LLM.from_parts(case.model, list_tokenizer(), block_size=4, num_blocks=blocks)


def list_backend(seed: int = SEED) -> AsyncLLM:
    """The same for asyncio programs."""
    return AsyncLLM.from_llm(list_llm(seed))
