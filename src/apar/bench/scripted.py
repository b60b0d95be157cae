"""Real answers made ready to be told by an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from apar.bench.answers import BenchAnswer
from apar.bench.target import Target
from apar.decoding.forced_answer import ForcedAnswer
from apar.errors import UserError
from apar.stats import TreeStats, tree_stats
from apar.tokens import ControlTokens
from apar.tree import ParagraphTree

Mode = Literal["sequential", "forked"]
MODES: tuple[Mode, Mode] = ("sequential", "forked")


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """An answer made ready: its prompt's ids and a script for each way to decode it."""

    id: str
    category: str
    prompt: tuple[int, ...]
    scripts: dict[Mode, ForcedAnswer]
    stats: TreeStats

    @property
    def longest(self) -> int:
        """Tokens of the longest path of any script, with the prompt."""
        return len(self.prompt) + max(script.longest for script in self.scripts.values())


def scripted_answers(target: Target, answers: Sequence[BenchAnswer]) -> tuple[ControlTokens, list[ScriptedAnswer]]:
    """The answers in the target's tokens, and the control tokens that their scripts have."""
    encoded = [_encode(target, answer) for answer in answers]
    control = target.control_tokens(_ids(encoded))
    return control, [_scripted(answer, tree, prompt, control) for answer, tree, prompt in encoded]


def fitting(answers: Sequence[ScriptedAnswer], context: int) -> list[ScriptedAnswer]:
    """The answers shorter than the context; raises UserError where there is none."""
    found = [answer for answer in answers if answer.longest < context]
    if not found:
        raise UserError(f"no answer fits into the context of {context} tokens; give more --kv-blocks")
    return found


def _encode(target: Target, answer: BenchAnswer) -> tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]:
    return answer, answer.tree.encode(target.codec.encode), tuple(target.codec.encode_prompt(answer.messages))


def _ids(encoded: Sequence[tuple[BenchAnswer, ParagraphTree, tuple[int, ...]]]) -> set[int]:
    """All ids that occur in the prompts and the answers."""
    ids: set[int] = set()
    for _, tree, prompt in encoded:
        ids.update(prompt)
        for node in tree.nodes():
            ids.update(node.tokens or ())
    return ids


def _scripted(
    answer: BenchAnswer, tree: ParagraphTree, prompt: tuple[int, ...], control: ControlTokens
) -> ScriptedAnswer:
    eos = min(control.eos)
    scripts: dict[Mode, ForcedAnswer] = {
        "sequential": ForcedAnswer.sequential(tree, eos),
        "forked": ForcedAnswer.forked(tree, control, eos),
    }
    return ScriptedAnswer(answer.id, answer.category, prompt, scripts, _stats(tree, len(prompt)))


def _stats(tree: ParagraphTree, prompt_tokens: int) -> TreeStats:
    """The figures of an encoded tree by its own tokens; equal texts have equal tokens."""
    lengths = {node.text: len(node.tokens or ()) for node in tree.nodes()}
    return tree_stats(tree, lengths.__getitem__, prompt_tokens)
