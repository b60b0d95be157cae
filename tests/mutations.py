"""Breaks the code on purpose, one rule at a time, and runs the tests that should notice: do they still bite?

    python -m tests.mutations [--only WORD]

Each mutation is made in a copy of the package. One that no test notices, or whose text the code does not have any
more, is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LIVES = "tests/engine/test_oracle.py::test_the_engine_equals_the_oracle_event_for_event_and_loses_no_block"
_ORACLE = tuple(f"{_LIVES}[{first}]" for first in (0, 15, 30, 45))
_COORDINATOR = ("tests/decoding/test_coordinator.py",)
_FORM_COORDINATOR = ("tests/decoding/test_form_coordinator.py",)
_BY_FORM = ("tests/decoding/by_form",)
_CELLS = ("tests/backends/test_llama_cells.py",)


@dataclass(frozen=True, slots=True)
class Mutation:
    """`before` stands once in `file`, `after` takes its place, and one of `tests` has to fail."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...] = _ORACLE


MUTATIONS = (
    Mutation(
        "forced tokens that were drawn",
        "decoding/forced_deltas.py",
        "TokenLogprob(token, 0.0)",
        "TokenLogprob(token, -0.5)",
        ("tests/decoding/by_form/test_form_logprobs.py",),
    ),
    Mutation(
        "a token that is told though all of it was dropped",
        "decoding/forced_deltas.py",
        "if begin >= chars and",
        "if False and",
        ("tests/decoding/by_form/test_form_logprobs.py",),
    ),
    Mutation(
        "a server whose policy goes before that of the request",
        "server/forking.py",
        "policy or default.policy",
        "default.policy or policy",
        ("tests/server/routes/test_forking.py",),
    ),
    Mutation(
        "items in a code fence",
        "decoding/by_form/reader.py",
        "if self._opaque.inside:\n            self._mode",
        "if False:\n            self._mode",
        _BY_FORM,
    ),
    Mutation(
        "a lead that ends at the colon of a time",
        "decoding/by_form/line.py",
        'if content[:-1].rstrip(_MARKS)[-1:].isdigit() or content.endswith("::"):',
        "if False:",
        _BY_FORM,
    ),
    Mutation(
        "a child whose number is its item's",
        "decoding/by_form/child.py",
        "if marker.number == lead.first_number:",
        "if True:",
        _BY_FORM,
    ),
    Mutation(
        "a parent that says a lead again",
        "decoding/by_form/parent.py",
        "if words in listed.said:",
        "if False:",
        _BY_FORM,
    ),
    Mutation(
        "a repeated word that may come again",
        "decoding/by_form/thread_form.py",
        "            banned |= not_again",
        "            pass",
        _BY_FORM,
    ),
    Mutation(
        "a bare item in a list that has forked",
        "decoding/by_form/thread_form.py",
        "if self._rules.has_forked(lead):\n            why = None",
        "if False:\n            why = None",
        _BY_FORM,
    ),
    Mutation(
        "a bare item where the model ends the thread",
        "decoding/form_steps.py",
        "if said is None:",
        "if True:",
        _BY_FORM,
    ),
    Mutation(
        "an item without a lead that stays where the thread ends",
        "decoding/by_form/parent.py",
        "self._is_open and (is_cut or not is_sentence)",
        "self._is_open and is_cut",
        _BY_FORM,
    ),
    Mutation(
        "an item that is told before it has a lead",
        "decoding/by_form/thread_form.py",
        "keep if begin is None else min(keep, begin), self.told",
        "keep, self.told",
        _BY_FORM,
    ),
    Mutation(
        "a plain label alone that forks",
        "decoding/by_form/plain_labels.py",
        "return len(self.said) > (_WORDS_BEFORE if names else 1)",
        "return True",
        _BY_FORM,
    ),
    Mutation(
        "a fork right after a fork",
        "decoding/grammar.py",
        "thread.last != self.control.fork",
        "True",
    ),
    Mutation(
        "a fork as the first token",
        "decoding/grammar.py",
        "and thread.sampled > 0\n            and",
        "and",
    ),
    Mutation(
        "one thread too many", "decoding/grammar.py", "created < self.limits.max_threads", "created <= 10**9", _ORACLE
    ),
    Mutation(
        "a refused thread that writes what others read",
        "scheduling/scheduler.py",
        "if self.pool.num_holders(thread.blocks[last // self.pool.block_size]) > 1:",
        "if False:",
        ("tests/engine/test_scheduler.py",),
    ),
    Mutation(
        "a head that guesses past the end of its path",
        "train/heads.py",
        "has_label & (target.gather(1, before) != NO_TARGET)",
        "has_label",
        ("tests/train/test_heads.py",),
    ),
    Mutation(
        "a head that repeats the model's own token",
        "train/heads.py",
        "at = next.gather(1, before)",
        "at = before",
        ("tests/train/test_heads.py",),
    ),
    Mutation(
        "an answer half-written that stays",
        "backends/answer_file.py",
        'if not line.endswith(b"\\n"):',
        "if False:",
        ("tests/backends/test_answer_file.py",),
    ),
    Mutation(
        "more threads at the same time than an answer wants",
        "scheduling/scheduler.py",
        "if most is not None and len(work.rows) >= most:",
        "if False:",
        ("tests/engine/test_sequential.py",),
    ),
    Mutation(
        "more requests at the same time than an answer wants",
        "decoding/coordinator.py",
        "if limit is None or sum(",
        "if True or sum(",
        _COORDINATOR,
    ),
    Mutation(
        "one level too deep",
        "decoding/grammar.py",
        "depth >= limits.max_depth",
        "depth > limits.max_depth",
    ),
    Mutation(
        "a fork that the budget cannot pay",
        "decoding/grammar.py",
        "group.budget >= 2 * group.live",
        "True",
    ),
    Mutation(
        "a detail without text",
        "decoding/grammar.py",
        "thread.sampled > 0 or thread.depth == 1",
        "True",
    ),
    Mutation(
        "forks of one step that do not count one another",
        "decoding/lockstep.py",
        "replace(state, created=state.created + 1)",
        "state",
    ),
    Mutation(
        "a refused token keeps its random number",
        "engine/sampler.py",
        "again=bool(thread.refused)",
        "again=False",
        (*_ORACLE, "tests/engine/test_sampler.py"),
    ),
    Mutation(
        "a refused token may be taken again", "engine/sampler.py", "[row.thread.refused for row", "[frozenset() for row"
    ),
    Mutation(
        "a budget that is never spent",
        "decoding/lockstep.py",
        "self.group.budget -= 1",
        "pass",
    ),
    Mutation(
        "threads in any order",
        "decoding/lockstep.py",
        "key=lambda thread: thread.path)",
        "key=lambda thread: len(thread.path))",
    ),
    Mutation(
        "penalties on control tokens",
        "engine/penalties.py",
        "tokens - row.group.grammar.hidden",
        "tokens",
    ),
    Mutation(
        "log probabilities after what was refused",
        "engine/sampler.py",
        "scores = _Logprobs(rows, logits)\n    _ban(logits, [row.thread.refused for row in rows])",
        "_ban(logits, [row.thread.refused for row in rows])\n    scores = _Logprobs(rows, logits)",
        (*_ORACLE, "tests/engine/test_sampler.py"),
    ),
    Mutation(
        "a token beyond the context",
        "decoding/lockstep.py",
        "len(thread.tokens) >= self.group.context",
        "len(thread.tokens) > self.group.context",
    ),
    Mutation(
        "a child that sees what its parent said later",
        "decoding/lockstep.py",
        "tokens = [*parent.tokens, group.control.child]",
        "tokens = [*parent.tokens[:-1], group.control.child]",
    ),
    Mutation(
        "what was ahead of a refused token counts",
        "decoding/lockstep.py",
        "thread.ahead.clear()",
        "thread.ahead.popleft()",
        _COORDINATOR,
    ),
    Mutation(
        "children of forks that were taken back live on",
        "decoding/coordinator.py",
        "other.path[depth] >= thread.forks",
        "False",
        _COORDINATOR,
    ),
    Mutation(
        "threads that wait for nobody", "decoding/coordinator.py", "len(thread.ahead) > most", "False", _COORDINATOR
    ),
    Mutation(
        "threads that wait for ever", "decoding/coordinator.py", "len(thread.ahead) <= most // 2", "False", _COORDINATOR
    ),
    Mutation(
        "details that begin with what they may not",
        "decoding/form_coordinator.py",
        "in self.group.banned(thread, thread.state)",
        "in ()",
        _FORM_COORDINATOR,
    ),
    Mutation(
        "requests that go on behind a path that is another",
        "decoding/form_coordinator.py",
        "for thread, _ in completed.rewritten:",
        "for thread, _ in ():",
        _FORM_COORDINATOR,
    ),
    Mutation(
        "forking threads that wait for nobody",
        "decoding/form_coordinator.py",
        "len(decoded.thread.ahead) > _RUN_AHEAD",
        "False",
        _FORM_COORDINATOR,
    ),
    Mutation(
        "leads that are cut to the same words",
        "structure/cuts.py",
        "least[one] = max(least[one], common + 1)",
        "pass",
        ("tests/structure/test_cuts.py",),
    ),
    Mutation(
        "an opening that leaves its node",
        "structure/cuts.py",
        "if room and end <= last else None",
        "if room else None",
        ("tests/structure/test_cuts.py",),
    ),
    Mutation(
        "openings among parts that need one another",
        "structure/extract.py",
        "plain = apart_from(dependent, self.paragraphs)",
        "plain = apart_from([], self.paragraphs)",
        ("tests/structure/test_cuts.py",),
    ),
    Mutation(
        "leads compared over all threads",
        "structure/extract.py",
        "while len(threads) > lead.depth:",
        "while False:",
        ("tests/structure/test_cuts.py",),
    ),
    Mutation(
        "a prompt with both forms",
        "corpus/choice.py",
        "if rating.structured is not structured:",
        "if False:",
        ("tests/corpus/test_choice.py",),
    ),
    Mutation(
        "held-out answers under a cap",
        "corpus/verdicts.py",
        "row.summary.reason is not None and not row.held_out:",
        "row.summary.reason is not None:",
        ("tests/corpus/test_choice.py",),
    ),
    Mutation(
        "an n-gram that only its own detail has counts as repeated",
        "eval/repetition.py",
        "holders[ngram] > 1",
        "holders[ngram] > 0",
        ("tests/eval/test_repetition.py",),
    ),
    Mutation(
        "seconds of answers that were decoded in a crowd",
        "eval/speed.py",
        "if answer is not None and answer.timed",
        "if answer is not None",
        ("tests/eval/test_speed.py",),
    ),
    Mutation(
        "answers of another plan are taken over",
        "eval/journal.py",
        'data.get("fingerprint") != fingerprint',
        "False",
        ("tests/eval/test_journal.py",),
    ),
    Mutation(
        "losses at the places of the plain text",
        "eval/scoring.py",
        "laid.positions[index] + 1 - prompt",
        "index + 1 - prompt",
        ("tests/eval/test_held_out.py",),
    ),
    Mutation(
        "a llama.cpp child that lacks the tokens of its own pass",
        "backends/llama_cpp/cells.py",
        "batch.sequences[number].append(sequence.number)",
        "pass",
        _CELLS,
    ),
    Mutation(
        "llama.cpp cells of ended threads that stay",
        "backends/llama_cpp/cells.py",
        "self._memory.remove(keeper.number, begin, TO_THE_END)",
        "pass",
        _CELLS,
    ),
    Mutation(
        "llama.cpp cells that two keepers have",
        "backends/llama_cpp/cells.py",
        "self._memory.remove(source.number, begin * size, end * size)",
        "pass",
        _CELLS,
    ),
    Mutation(
        "more llama.cpp threads than sequences",
        "scheduling/scheduler.py",
        "return self.pool.num_free >= count and not full",
        "return self.pool.num_free >= count",
        _CELLS,
    ),
)


def survives(mutation: Mutation) -> str | None:
    """Why the mutation lives on; None where a test noticed it."""
    with tempfile.TemporaryDirectory(prefix="apar-mutation-") as folder:
        source = Path(folder) / "apar"
        shutil.copytree(ROOT / "src" / "apar", source, ignore=shutil.ignore_patterns("__pycache__"))
        file = source / mutation.file
        code = file.read_text(encoding="utf-8")
        if code.count(mutation.before) != 1:
            return f"{mutation.file} has its text {code.count(mutation.before)} times"
        file.write_text(code.replace(mutation.before, mutation.after), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutation.tests]
        environment = {**os.environ, "PYTHONPATH": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return "no test noticed it"
    return None if done.returncode == 1 else f"pytest itself failed: {done.stdout[-500:]}{done.stderr[-500:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="only mutations with this in their name or file")
    only = parser.parse_args().only
    alive = 0
    for mutation in MUTATIONS:
        if only in mutation.name or only in mutation.file:
            reason = survives(mutation)
            alive += reason is not None
            print(f"{mutation.name}: {reason or 'noticed'}", flush=True)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
