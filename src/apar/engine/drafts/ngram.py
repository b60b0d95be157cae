"""Drafts by what was said before: the tokens that followed the last few tokens in the prompt or the answer.

All threads of an answer look in one index: the items of a list repeat their form, and a thread finds there what its
siblings said, finished ones too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apar.decoding.group import Group, Thread
from apar.engine.drafts.source import Candidate

LENGTHS = (4, 3, 2)
"""Tokens that have to be the same, the longest first."""

MOST = 6
"""Tokens of a draft at most."""

READ_AT_ONCE = 512
"""Tokens of a prompt that are read between two passes: no pass waits for a long one to be read."""

_PRIORS = {4: 0.5, 3: 0.35, 2: 0.15}


@dataclass(slots=True)
class _Index:
    """Where n-grams of an answer stand: the list of tokens, and the place behind the n-gram. The latest counts."""

    places: dict[tuple[int, ...], tuple[list[int], int]] = field(default_factory=dict)
    # Each thread's own tokens, and a few before them.
    texts: dict[Thread, list[int]] = field(default_factory=dict)
    prompt: list[int] = field(default_factory=list)
    # The n-grams that end before this place of the prompt are not in yet.
    unread: int = 0

    def add(self, text: list[int], begin: int) -> None:
        """The tokens of `text` from index `begin` on are new."""
        for end in range(max(begin, min(LENGTHS)), len(text)):
            for length in LENGTHS:
                if length <= end:
                    self.places[tuple(text[end - length : end])] = text, end

    def read_prompt(self) -> None:
        """Put in the next part of the prompt, from its end on; what stands further behind counts, as it is later."""
        begin = max(self.unread - READ_AT_ONCE, min(LENGTHS))
        for end in range(self.unread - 1, begin - 1, -1):
            for length in LENGTHS:
                if length <= end:
                    self.places.setdefault(tuple(self.prompt[end - length : end]), (self.prompt, end))
        self.unread = begin

    def follow(self, path: list[int]) -> tuple[int, list[int]]:
        """The length of the n-gram that was found, and what followed it; 0 and nothing where none was."""
        for length in LENGTHS:
            found = self.places.get(tuple(path[-length:])) if len(path) >= length else None
            if found is not None:
                text, place = found
                return length, text[place : place + MOST]
        return 0, []


class NgramDrafts:
    """Guesses that the tokens go on as they did before."""

    name = "ngram"

    def __init__(self) -> None:
        self._indices: dict[Group, _Index] = {}

    def candidates(self, group: Group, thread: Thread) -> list[Candidate]:
        """A chain of the tokens that followed the same n-gram before."""
        index = self._indices.get(group)
        if index is None:
            prompt = list(group.decoding[0].tokens[: group.prompt_tokens])
            index = self._indices[group] = _Index(prompt=prompt, unread=len(prompt))
        index.read_prompt()
        self._update(index, thread)
        length, tokens = index.follow(thread.decoded)
        return [
            Candidate(token, number - 1, ("ngram", length, min(number, 3)), _PRIORS[length] if not number else 0.7)
            for number, token in enumerate(tokens)
        ]

    def forget(self, group: Group) -> None:
        """Drop the group's index."""
        self._indices.pop(group, None)

    def _update(self, index: _Index, thread: Thread) -> None:
        """Put in what the thread has said since. A few tokens before its own begin its first n-grams."""
        before = min(max(LENGTHS), thread.starts[-1])
        text = index.texts.get(thread)
        if text is None:
            text = index.texts[thread] = thread.tokens[thread.starts[-1] - before : thread.starts[-1]]
        known = len(text)
        text += thread.tokens[thread.starts[-1] - before + known :]
        if len(text) > known:
            index.add(text, known)
