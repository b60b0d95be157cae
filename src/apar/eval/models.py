"""The models that answer, and the ways in which they do."""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import ModelError, RequestError
from apar.eval.answered import WAYS, Way
from apar.eval.plan import ModelSpec, Plan
from apar.eval.prompts import EvalPrompt
from apar.tokens import encode_prompt


class Models:
    """Loads each model of a plan when it is first asked; all of them stay, so that they can take turns."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._specs: dict[Way, ModelSpec | None] = {
            "forked": plan.model,
            "one_thread": plan.model,
            "twin": plan.twin,
            "base": plan.base,
        }
        self._loaded: dict[ModelSpec, LLM] = {}

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways in which the plan has prompts answered."""
        return tuple(way for way in WAYS if self._specs[way] is not None)

    def fits(self, prompt: EvalPrompt) -> bool:
        """Whether the taught model's chat template takes a prompt and its context leaves room for an answer."""
        llm = self._llm("forked")
        try:
            return len(encode_prompt(llm.tokenizer, prompt.messages)) < llm.context
        except RequestError:
            return False

    def warm_up(self, prompt: EvalPrompt) -> None:
        """Answer a few tokens in every way, so that no timed answer pays for what is done once."""
        for way in self.ways:
            self.answer(way, [prompt], max_tokens=16)

    def answer_alone(self, way: Way, prompt: EvalPrompt) -> Answer:
        """Answer a prompt by itself, as one that comes for the first time: no cache of an earlier answer helps."""
        pool = self._llm(way).engine.pool
        pool.forget(range(pool.num_blocks))
        [answer] = self.answer(way, [prompt])
        return answer

    def answer(self, way: Way, prompts: Sequence[EvalPrompt], max_tokens: int | None = None) -> list[Answer]:
        """Answer prompts greedily, decoded together."""
        params = SamplingParams(
            max_tokens=max_tokens or self._plan.max_tokens,
            seed=self._plan.seed,
            fork=way in ("forked", "one_thread"),
            max_parallel_threads=1 if way == "one_thread" else None,
        )
        return self._llm(way).generate([prompt.messages for prompt in prompts], params)

    def _llm(self, way: Way) -> LLM:
        spec = self._specs[way]
        assert spec is not None, "only the plan's ways are asked for"
        if spec not in self._loaded:
            # Drafts would help all of them, and heads are the taught model's alone.
            plan = self._plan
            llm = LLM(spec.model, dtype=plan.dtype, device=plan.device, adapter=spec.adapter, drafts="off")
            if spec == self._plan.model and not llm.forks:
                raise ModelError(f"{spec} was not taught to fork: its tokenizer has no control tokens")
            self._loaded[spec] = llm
        return self._loaded[spec]
