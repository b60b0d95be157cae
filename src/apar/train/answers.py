"""The answers of a training: parsed and encoded once, and read from the output folder from then on.

What was encoded is found by the content of the trees files, so that a training which goes on parses none of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from apar.data.files import atomic_folder
from apar.data.records import Example, read_examples
from apar.errors import UserError
from apar.train.batches import Encoder
from apar.train.checkpoints import content_hash
from apar.train.dataset import SampleStore, question_hash, write_samples
from apar.train.recipe import Recipe
from apar.train.tokenizer import train_tokenizer


class Answers:
    """The answers that a recipe trains on."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises UserError where a file is missing; nothing is parsed yet."""
        self._recipe = recipe
        self._content = content_hash(recipe.trees)
        said = {"trees": self._content, "mode": recipe.mode, "max_length": recipe.max_length}
        said |= {"loss_on_prompt": recipe.loss_on_prompt, "vocab_size": self._vocab_size}
        self._folder = recipe.output / f"samples-{_short(said)}"

    @property
    def _vocab_size(self) -> int | None:
        """That of a tokenizer that is trained on the answers; None where the model has one."""
        return self._recipe.start.vocab_size if self._recipe.start.model is None else None

    @cached_property
    def examples(self) -> list[Example]:
        """All answers, parsed now. Raises UserError where there are none."""
        found = read_examples(self._recipe.trees)
        if not found:
            names = ", ".join(map(str, self._recipe.trees))
            raise UserError(f"{names} has no answers; report.json beside it says what `apar extract` left out, and why")
        return found

    def check_held_out(self, held_out: Iterable[Example]) -> None:
        """Raise UserError if held-out answers are to prompts that are trained on."""
        store = self._stored()
        trained = {question_hash(e) for e in self.examples} if store is None else store.questions()
        both = sum(question_hash(example) in trained for example in held_out)
        if both:
            names = ", ".join(map(str, self._recipe.trees))
            raise UserError(
                f"{both} answers of held_out are to prompts that {names} has too; take both files of one `apar extract`"
            )

    def samples(self, encoder: Encoder) -> SampleStore:
        """The encoded samples; written where the output folder has none that this encoder made."""
        store, tokenizer = self._stored(), _tokenizer_hash(encoder.tokenizer)
        if store is not None and store.tokenizer == tokenizer:
            return store
        examples = self.examples
        for earlier in self._recipe.output.glob("samples-*"):
            shutil.rmtree(earlier)
        write_samples(examples, encoder, self._folder, tokenizer)
        return SampleStore(self._folder)

    def tokenizer(self) -> Any:
        """A tokenizer trained on the answers, for a model from scratch; kept in the output folder."""
        from transformers import PreTrainedTokenizerFast

        assert self._vocab_size is not None
        said = {"trees": self._content, "vocab_size": self._vocab_size}
        folder = self._recipe.output / f"tokenizer-{_short(said)}"
        if not folder.is_dir():
            for earlier in self._recipe.output.glob("tokenizer-*"):
                shutil.rmtree(earlier)
            with atomic_folder(folder) as temporary:
                train_tokenizer(_texts(self.examples), self._vocab_size).save_pretrained(temporary)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def _stored(self) -> SampleStore | None:
        return SampleStore(self._folder) if self._folder.is_dir() else None


def _texts(examples: Iterable[Example]) -> Iterable[str]:
    for example in examples:
        yield from (message["content"] for message in example.messages)
        yield example.tree.text


def _short(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def _tokenizer_hash(tokenizer: Any) -> str:
    said = f"{tokenizer.chat_template}{tokenizer.eos_token_id}{tokenizer.backend_tokenizer.to_str()}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
