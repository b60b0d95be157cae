"""Real answers forced through llama.cpp: in threads by our backend, and one after another by llama.cpp alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apar.backends.llama_cpp.cells import TO_THE_END, TokenBatch, sequences_for
from apar.backends.llama_cpp.engine import BLOCK_SIZE, LlamaCppEngine
from apar.backends.llama_cpp.library import LlamaContext, LlamaModel
from apar.backends.llama_cpp.options import Settings
from apar.backends.llama_cpp.tokenizer import LlamaTokenizer, vocabulary_of
from apar.bench.answers import BenchAnswer
from apar.bench.core_replay import CoreReplay
from apar.bench.replay import Mode, ReplayAnswer, ReplayResult, choose_control, replay_answers
from apar.decoding.vocabulary import Vocabulary
from apar.tokens import ControlTokens, TextCodec, encode_prompt, encode_text
from apar.tree import ROOT


@dataclass(frozen=True, slots=True)
class LlamaBenchModel:
    """A GGUF file that is measured."""

    name: str
    model: LlamaModel
    vocabulary: Vocabulary
    codec: TextCodec

    @classmethod
    def load(cls, file: Path, options: Mapping[str, Any]) -> LlamaBenchModel:
        """Raises ModelError where it cannot be loaded."""
        model = LlamaModel(file, Settings(options=options).model)
        tokenizer = LlamaTokenizer(model, str(file))
        codec = TextCodec(
            f"that of {file}",
            partial(encode_text, tokenizer),
            partial(tokenizer.decode, skip_special_tokens=True),
            partial(encode_prompt, tokenizer),
        )
        return cls(str(file), model, vocabulary_of(tokenizer, str(file)), codec)

    def control_tokens(self, used: Iterable[int]) -> ControlTokens:
        """The model's own, or in place of those that it lacks ids not `used`."""
        return choose_control(self.vocabulary.control, self.vocabulary.eos, used, self.model.num_tokens)

    def engine(
        self, control: ControlTokens, settings: Settings, cells: int | None
    ) -> tuple[LlamaContext, LlamaCppEngine]:
        """An engine with `cells` cells, None for as many as the settings say; its context has one sequence more."""
        params = settings.context(self.model.longest, sequences_for(settings.max_rows) + 1)
        context = LlamaContext(self.model, params | ({} if cells is None else {"n_ctx": cells}))
        engine = LlamaCppEngine(
            context,
            self.codec.decode,
            self.codec.encode,
            control.eos,
            control,
            vocabulary_size=self.model.num_tokens,
            longest=self.model.longest,
            cells=context.cells,
            max_rows=settings.max_rows,
            max_tokens=context.max_tokens,
        )
        return context, engine

    def facts(self) -> dict[str, Any]:
        """What the model is, for the report."""
        names = {"family": "general.architecture", "file_type": "general.file_type", "size": "general.size_label"}
        told = {name: self.model.metadata(key) for name, key in names.items()}
        return {"name": self.name, "vocabulary": self.model.num_tokens, "tokenizer": self.codec.name, **told}


class LlamaReplay(CoreReplay):
    """Our backend on llama.cpp as a `ReplayEngine`.

    An answer that is decoded alone and sequentially is decoded by llama.cpp itself: one sequence, token by token, the
    likeliest token looked for and then the given one fed. All answers together are sequences of our backend's.
    """

    def __init__(
        self, bench_model: LlamaBenchModel, answers: Sequence[BenchAnswer], settings: Settings, cells: int | None
    ) -> None:
        self.control, forced = replay_answers(bench_model, answers)
        self._context, engine = bench_model.engine(self.control, settings, cells)
        self._alone = sequences_for(settings.max_rows)  # a sequence that the engine does not use
        super().__init__(engine, forced, "llama-cpp")
        self._cells = engine.cells

    def run_one(self, answer: ReplayAnswer, mode: Mode) -> ReplayResult:
        """Decode an answer alone; nothing of it is in the cache before."""
        if mode == "forked":
            return super().run_one(answer, mode)
        self._forget()
        try:
            return self._decode_alone(answer)
        finally:
            self._context.remove(self._alone, 0, TO_THE_END)

    def facts(self) -> dict[str, Any]:
        """Which engine it is and how it was set up, for the report."""
        return {**super().facts(), **self._context.params}

    def close(self) -> None:
        """Free the cache."""
        self._context.close()

    def _decode_alone(self, answer: ReplayAnswer) -> ReplayResult:
        prompt, tokens = list(answer.prompt), answer.forced["sequential"].threads[ROOT]
        began = time.perf_counter()
        size = self._context.max_tokens
        for begin in range(0, len(prompt), size):
            self._feed(prompt[begin : begin + size], begin)
        first = time.perf_counter()
        for number, token in enumerate(tokens[:-1]):
            self._feed([token], len(prompt) + number)
        blocks = -(-(len(prompt) + len(tokens) - 1) // BLOCK_SIZE)
        held = [-(-(len(prompt) + number) // BLOCK_SIZE) for number in range(len(tokens))]
        return ReplayResult(time.perf_counter() - first, len(tokens) - 1, first - began, blocks, sum(held) / len(held))

    def _feed(self, tokens: Sequence[int], begin: int) -> int:
        """Feed tokens; the likeliest next one."""
        batch = TokenBatch()
        for position, token in enumerate(tokens, begin):
            batch.add(token, position, self._alone)
        batch.wanted.append(len(tokens) - 1)
        return int(self._context.decode(batch)[0].argmax())

    def _forget(self) -> None:
        super()._forget()
        self._cells.settle()
