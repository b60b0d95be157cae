"""From an answer to its paragraph tree, or the reason why it has none (APAR paper, section 3.1).

`extract` takes any string and loses nothing: the tree's text is the answer byte for byte. The Markdown parser
gives the blocks, `outline` finds the groups of parts in them, `dependence` says whether these may run side by
side, and what is inside a detail is read in the same way. Forks are offsets: cutting is all that is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from apar.structure.config import DEFAULT, StructureConfig
from apar.structure.content import CONTENT_REASONS, content_reasons
from apar.structure.cuts import Lead, apart_from, leads_of, with_openings
from apar.structure.dependence import dependence
from apar.structure.labels import Reason, Refusal, Rule
from apar.structure.markdown import Block, parse
from apar.structure.outline import outline
from apar.structure.parts import Group, inside
from apar.structure.words import count_repeated
from apar.tree import Fork, ParagraphTree

# Lists within lists that have no leads are not followed deeper than this.
_MAX_NESTING = 12


class Items(NamedTuple):
    """The outermost parts of a structured answer: how many fork, and how many beside them have no detail.

    `repeated_leads` counts the leads, of whatever depth, that say word for word what one before them in their thread
    said.
    """

    forking: int = 0
    bare: int = 0
    repeated_leads: int = 0


_NO_ITEMS = Items()


@dataclass(frozen=True, slots=True)
class Extraction:
    """The tree of an answer, what its parts are, or why it has none, and the parts that were refused."""

    tree: ParagraphTree
    rule: Rule
    reason: Reason | None = None
    refusals: tuple[Refusal, ...] = ()
    items: Items = _NO_ITEMS


def extract(response: str, config: StructureConfig = DEFAULT) -> Extraction:
    """The paragraph tree of an answer; a leaf with a reason where the answer is unstructured."""
    reason = _refused_whole(response, config)
    if reason is not None:
        return _leaf(response, reason)
    blocks = parse(response)
    refused = config.refused & CONTENT_REASONS
    if refused and (found := next((one for one in content_reasons(response, blocks) if one in refused), None)):
        return _leaf(response, found)
    reader = _Reader(response, config)
    reader.read(blocks, depth=1, nesting=0, is_opened=True)
    return reader.result(content_reasons(response, blocks))


def _refused_whole(text: str, config: StructureConfig) -> Reason | None:
    if not text.strip():
        return "empty"
    return "too_long" if len(text) > config.max_chars else None


def _leaf(text: str, reason: Reason, refusals: Sequence[Refusal] = ()) -> Extraction:
    return Extraction(ParagraphTree.leaf(text), "unstructured", reason, tuple(refusals))


class _Reader:
    """Reads regions and collects their leads, in reading order, and the refusals."""

    def __init__(self, text: str, config: StructureConfig) -> None:
        self.text = text
        self.config = config
        self.leads: list[Lead] = []
        self.paragraphs: list[tuple[int, int]] = []  # plain ones, of the answer and of details
        self.refusals: list[Refusal] = []
        self.rules: Counter[Rule] = Counter()
        self.bare = 0

    def read(self, blocks: Sequence[Block], depth: int, nesting: int, is_opened: bool) -> None:
        """Read a region whose parts' details are `depth` levels deep; whether it is the answer or a detail."""
        if nesting > _MAX_NESTING:
            return
        if is_opened:
            self.paragraphs += [(one.start, one.end) for one in blocks if one.kind == "paragraph"]
        for group in outline(self.text, blocks, self.config):
            reason = self._refusal(group)
            if reason is not None and group.end > group.start:
                self.refusals.append(Refusal(group.start, group.end, reason))
            elif depth == 1:
                self.rules[group.rule] += len(group.forking)
                self.bare += len(group.parts) - len(group.forking)
            if reason is None or reason in ("too_few_parts", "short_details"):
                self._read_parts(group, reason is None, depth, nesting)

    def _read_parts(self, group: Group, forks: bool, depth: int, nesting: int) -> None:
        leads = leads_of(self.text, group.parts, self.config.lead_words, depth) if forks else [None] * len(group.parts)
        for part, lead in zip(group.parts, leads, strict=True):
            inner = depth
            if lead is not None:
                self.leads.append(lead)
                inner += 1
            if inner <= self.config.max_depth:
                self.read(list(inside(self.text, part)), inner, nesting + 1, is_opened=inner > depth)

    def _refusal(self, group: Group) -> Reason | None:
        config = self.config
        least = config.min_paragraphs if group.rule == "paragraphs" else config.min_parts
        if len(group.parts) < least:
            return "too_few_parts"
        too_short = len(group.forking) < max(least, self._least_share(group))
        if too_short and group.rule not in ("labels", "paragraphs"):
            return "short_details"
        # Stories and dialogues are called so even where they have nothing to fork.
        dependent = next((reason for reason in dependence(self.text, group) if reason in config.refused), None)
        return dependent or ("short_details" if too_short else None)

    def _least_share(self, group: Group) -> float:
        return 0 if group.rule == "paragraphs" else self.config.min_fork_share * len(group.parts)

    def result(self, contents: Iterator[Reason]) -> Extraction:
        leads = self._limited()
        items = self._items(leads)
        reason: Reason | None = None
        if not self.leads:
            reason = self._weightiest(contents)
        elif not leads:
            reason = "too_many_parts"
        elif _gain(len(self.text), [lead.whole_fork for lead in leads]) < self.config.min_gain:
            reason = "one_part"
        elif self.config.max_repeated_leads is not None and items.repeated_leads > self.config.max_repeated_leads:
            reason = "repeated_leads"
        if reason is not None:
            return _leaf(self.text, reason, self.refusals)
        tree = ParagraphTree.from_forks(self.text, self._forks(leads))
        rule = self.rules.most_common(1)[0][0]
        return Extraction(tree, rule, None, tuple(self.refusals), items)

    def _limited(self) -> list[Lead]:
        """The leads without the innermost, as far as there are too many."""
        for depth in range(self.config.max_depth, 0, -1):
            leads = [lead for lead in self.leads if lead.depth <= depth]
            if len(leads) <= self.config.max_parts:
                return leads
        return []

    def _items(self, leads: Sequence[Lead]) -> Items:
        forking = sum(lead.depth == 1 for lead in leads)
        return Items(forking, self.bare, sum(map(count_repeated, self._by_thread(leads))))

    def _by_thread(self, leads: Sequence[Lead]) -> Iterator[list[str]]:
        """The leads of each thread, in order, uncut."""
        threads: list[list[str]] = [[]]  # by level, those of the thread that goes on there
        for lead in leads:
            while len(threads) > lead.depth:
                yield threads.pop()
            threads[-1].append(self.text[lead.start : lead.whole])
            threads.append([])
        yield from threads

    def _forks(self, leads: Sequence[Lead]) -> list[Fork]:
        config = self.config
        if config.lead_words is None or not config.fork_opening:
            return [lead.fork for lead in leads]
        room = config.max_parts - len(leads)
        dependent = [(one.start, one.end) for one in self.refusals if one.reason in config.refused]
        plain = apart_from(dependent, self.paragraphs)
        return with_openings(self.text, leads, plain, config.lead_words, config.min_detail_chars, room)

    def _weightiest(self, contents: Iterator[Reason]) -> Reason:
        """Why nothing forks: the parts' dependence, the kind of content, or that there are no parts."""
        refused = [refusal for refusal in self.refusals if refusal.reason in self.config.refused]
        if refused:
            return max(refused, key=lambda refusal: refusal.end - refusal.start).reason
        kind = next((one for one in contents if one in ("code", "formula", "table")), None)
        if kind is not None:
            return kind
        return "short_details" if any(one.reason == "short_details" for one in self.refusals) else "too_few_parts"


def _gain(length: int, forks: Sequence[Fork]) -> float:
    """The ideal speed-up, by characters: the whole over the longest path."""
    return length / max(_longest_path(length, forks), 1)


def _longest_path(length: int, forks: Sequence[Fork]) -> int:
    """Characters on the longest path from the root."""
    # By level: where the level's text went on last, and how long the path to there is.
    ends, paths, limits = [0], [0], [length]
    longest = 0
    for at, end in forks:
        while len(limits) > 1 and at >= limits[-1]:
            longest = max(longest, paths.pop() + limits.pop() - ends.pop())
        paths[-1] += at - ends[-1]
        ends[-1] = end
        ends.append(at)
        paths.append(paths[-1])
        limits.append(end)
    while limits:
        longest = max(longest, paths.pop() + limits.pop() - ends.pop())
    return longest
