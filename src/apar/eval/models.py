"""The models that answer, and the ways in which they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import ModelError, RequestError
from apar.eval.answered import Answered
from apar.eval.plan import ModelSpec, Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.ways import Way, subject
from apar.skeleton.answering import skeleton_answers, takes
from apar.tokens import encode_prompt


class Models:
    """Loads each model of a plan when it is first asked; all of them stay, so that they can take turns."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.ways = plan.ways
        self._loaded: dict[ModelSpec, LLM] = {}

    def fits(self, prompt: EvalPrompt) -> bool:
        """Whether the chat template takes a prompt and the context leaves room for an answer."""
        llm = self._llm(subject(self.ways))
        skeleton = self._llm("skeleton") if "skeleton" in self.ways else None
        try:
            fits = len(encode_prompt(llm.tokenizer, prompt.messages)) < llm.context
            if skeleton is None or not fits:
                return fits
            # A skeleton is written for a question alone.
            return not prompt.before and takes(skeleton, prompt.text)
        except RequestError:
            return False

    def warm_up(self, prompt: EvalPrompt) -> None:
        """Answer a few tokens in every way, so that no timed answer pays for what is done once."""
        for way in self.ways:
            self.answer(way, [prompt], max_tokens=16)

    def answer_alone(self, way: Way, prompt: EvalPrompt) -> Answered:
        """Answer a prompt by itself, as one that comes for the first time: no cache of an earlier answer helps."""
        pool = self._llm(way).engine.pool
        pool.forget(range(pool.num_blocks))
        [answer] = self.answer(way, [prompt])
        return replace(answer, timed=True)

    def answer(self, way: Way, prompts: Sequence[EvalPrompt], max_tokens: int | None = None) -> list[Answered]:
        """Answer prompts, decoded together."""
        params = self._params(way, max_tokens or self._plan.max_tokens)
        if way == "skeleton":
            found = skeleton_answers(self._llm(way), [prompt.text for prompt in prompts], params)
            return [Answered.of_skeleton(p.id, each, timed=False) for p, each in zip(prompts, found, strict=True)]
        answers = self._llm(way).generate([prompt.messages for prompt in prompts], params)
        return [Answered.of(p.id, way, each, timed=False) for p, each in zip(prompts, answers, strict=True)]

    def _params(self, way: Way, max_tokens: int) -> SamplingParams:
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=self._plan.temperature,
            top_p=self._plan.top_p,
            seed=self._plan.seed,
            fork=way in ("forked", "one_thread", "rules"),
            fork_by="rules" if way == "rules" else "model",
            max_parallel_threads=1 if way == "one_thread" else None,
        )

    def _llm(self, way: Way) -> LLM:
        spec = self._plan.by_way[way]
        if spec not in self._loaded:
            # Drafts would help all of them, and heads are the taught model's alone.
            plan = self._plan
            llm = LLM(
                spec.model,
                dtype=plan.dtype,
                device=plan.device,
                adapter=spec.adapter,
                drafts="off",
                cpu_threads=plan.threads,
            )
            if way in ("forked", "one_thread") and not llm.forks:
                raise ModelError(f"{spec} was not taught to fork: its tokenizer has no control tokens")
            self._loaded[spec] = llm
        return self._loaded[spec]
