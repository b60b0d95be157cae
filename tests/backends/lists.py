"""Models that write lists all the time, a tokenizer of pieces of lists, and what must come of them.

The expected answer completes the same logical steps, with every token chosen alone after its thread's whole path.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.events import Forked
from apar.tokens import encode_text
from tests.backends.hasty import HashModel
from tests.decoding.by_form.test_random_forms import LIKELY
from tests.engine import rules_lives

PIECES = (*rules_lives.PIECES, "a", "b", "c", "5", ")")
"""No two of them are the same, and every text that is forced is made of them."""

PROMPTS = ("Rest", "Walk", "Tips", "Eat early", "Walk: a", "Tips:\n\n", "5 Tips", "3 Tips: a")
Logits = Callable[[Sequence[int]], Sequence[float]]


@cache
def list_tokenizer() -> PreTrainedTokenizerFast:
    """Takes the longest pieces one after another."""
    vocabulary = {piece: token for token, piece in enumerate(PIECES)}
    pieces = models.WordPiece(
        vocab=vocabulary, unk_token="<eos>", max_input_chars_per_word=10_000, continuing_subword_prefix=""
    )
    tokenizer = Tokenizer(pieces)
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<eos>",
        unk_token="<eos>",
        chat_template="{% for turn in messages %}{{ turn['content'] }}{% endfor %}",
    )


def save_tokenizer(folder: Path) -> Path:
    """A folder that names its model by the tokenizer alone."""
    list_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@dataclass(frozen=True)
class ListModel(HashModel):
    """A hash of the text that often writes what comes next in lists, `fork` likelier; the end is `eos` likelier."""

    pieces: tuple[str, ...] = PIECES

    def logits(self, tokens: Sequence[int]) -> list[float]:
        return self.behind("".join(self.pieces[token] for token in tokens if token))

    def behind(self, text: str) -> list[float]:
        """The logits behind a text."""
        rng = random.Random(repr((self.seed, text)))
        logits = [rng.uniform(0, 4) for _ in self.pieces]
        for piece in next((pieces for end, pieces in LIKELY if text.endswith(end)), ()):
            if piece in self.pieces:
                logits[self.pieces.index(piece)] += self.fork
        logits[0] += self.eos
        return logits


def list_model(seed: int) -> ListModel:
    rng = random.Random(seed)
    return ListModel(seed, fork=rng.uniform(1.5, 4), eos=rng.uniform(-4, -1))


def list_params(rng: random.Random, longest: int = 150, **more: Any) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([12, 40, 90, longest]),
        seed=rng.randrange(1000),
        stop=rng.choice([(), (), (), ("st:",), ("2. W",)]),
        max_threads=rng.choice([1, 2, 3, 12, 32]),
        max_depth=rng.choice([2, 3, 4]),
        max_parallel_threads=rng.choice([None, None, None, 1, 2]),
        max_items=rng.choice([None, None, 2, 3]),
        fork_by="rules",
        **more,
    )


def list_group(prompt: str, params: SamplingParams, context: int) -> Group:
    """The answer to a chat of one turn, with nothing decoded."""
    tokenizer = list_tokenizer()
    vocabulary, encode = Vocabulary.of(tokenizer), partial(encode_text, tokenizer)
    request = Request(tokenizer.encode(prompt), params, 0, prompt)
    group = Group.start(0, request, vocabulary, context, Detokenizer(vocabulary.decode))
    group.read_form(FormTokens(encode, vocabulary.decode, vocabulary.eos, len(PIECES)), request)
    return group


def finish_slowly(group: Group, logits: Logits) -> Group:
    """Decode a group greedily, token by token."""
    while not group.done:
        for thread in group.threads:
            if not thread.ahead:
                values, banned = logits(thread.tokens), group.banned(thread, thread.state)
                allowed = [token for token in range(len(values)) if token not in banned | thread.refused]
                thread.ahead.append(Sampled(max(allowed, key=values.__getitem__), None, banned))
        complete_step(group)
    return group


def forks(group: Group) -> int:
    return sum(isinstance(event, Forked) for event in group.events)
