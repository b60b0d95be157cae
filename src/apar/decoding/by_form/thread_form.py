"""The form of one thread's text: what is read in it, what may be told of it, and where it forks and ends.

Offsets are of the thread's whole text, which for a child begins with the answer as it sees it (`child_text`). Which
tokens say the text is known by borders: offsets at which a token of the path ends.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Literal, NamedTuple

from apar.decoding.by_form.child import DetailReader, child_text, may_begin
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.parent import ParentRules, Step
from apar.decoding.by_form.reader import ItemReader, LeadEnd
from apar.decoding.by_form.reasons import WhyNot
from apar.decoding.by_form.why_not import ForkJudge

WhyNotForked = WhyNot | Literal["limits", "tokens"]
"""Why a lead did not fork: by its form, by the limits of the answer, or because no tokens say what was to be forced."""


class ForkPlan(NamedTuple):
    """How a thread forks behind `lead`.

    Its text goes over to the child at `cut`. Of its path `kept` tokens stay; `rest` are the ids of `rest_text`, the end
    of the lead, where the token that has it has more than white space behind it. Behind the lead the thread keeps white
    space: `spaces` before the cut and `surplus` behind it. The child's path is the `shared` first tokens of the
    thread and the ids `hidden`, its text is `base` until then; its own text begins with `tail`, of the ids `tail_ids`.
    """

    lead: LeadEnd
    cut: int
    kept: int
    rest: list[int]
    rest_text: str
    spaces: str
    surplus: str
    shared: int
    hidden: list[int]
    base: str
    tail_ids: list[int]
    tail: str


class Said(NamedTuple):
    """What a piece of text comes to: the thread goes on, is forced to say a text, ends, or forks by a plan.

    Of the text `keep` characters may be told; where it ends, they are all of it. `repeats` says that it ends before a
    lead that was said, `lacks_room` that its list cannot go on. Where a lead is to be said `again`, of the path `kept`
    tokens stay.
    """

    action: Literal["go", "force", "end", "fork", "again"]
    keep: int
    text: str = ""
    repeats: bool = False
    plan: ForkPlan | None = None
    lacks_room: bool = False
    kept: int = 0


MayFork = Callable[[ForkPlan, int], bool]
"""Whether the limits of the answer allow a fork by this plan, in a list that needs so many threads."""
Refused = Callable[[WhyNotForked], object]
"""Told why a lead does not fork."""


class ThreadForm:
    """The form of one thread. `question` is what the answer is to, `length` that of its path before its own text.

    A child was made by a `plan`. `tail` is text of its own that is there from the beginning, and
    `length` counts its ids.
    """

    def __init__(
        self,
        tokens: FormTokens,
        question: str,
        length: int,
        max_items: int | None = None,
        plan: ForkPlan | None = None,
    ) -> None:
        self.tokens, self.question, self.max_items = tokens, question, max_items
        self.told = self._begin = len(plan.base) if plan else 0
        self.tail, self.tail_ids = (plan.tail, tuple(plan.tail_ids)) if plan else ("", ())
        self._lead = plan.lead if plan else None
        self._reader, self._judge = ItemReader(), ForkJudge(question)
        self._rules = ParentRules("" if plan else question, max_items)
        self._detail = DetailReader(plan.lead) if plan else None
        self._offsets, self._lengths = [self._begin], [length - len(self.tail_ids)]
        self._rules_keep = 0
        self._ends_at: int | None = None
        self.taken_back = 0  # how often a lead was taken back
        self._not_again: dict[int, frozenset[int]] = {}  # tokens that may not come behind so many tokens
        self._seen = plan is None or bool(plan.tail.strip())
        if plan:
            self._reader.feed(plan.base)
            self._rules_keep = self._rules.feed(plan.base + plan.tail).keep
            self.force(plan.tail, length)

    @property
    def text(self) -> str:
        """All text so far."""
        return self._reader.text

    def banned(self, banned: frozenset[int], is_next: bool) -> frozenset[int]:
        """The tokens that may not come behind the thread's text, beside those that are `banned` anyway.

        Unless it `is_next`, the text up to there is not known: a detail is taken to have begun.
        """
        if not self._seen and is_next:
            assert self._lead is not None
            return self.tokens.union(banned, self.tokens.not_first(self._lead, self.text[self._begin :]))
        if is_next and self._rules.is_at_line:
            banned = self.tokens.union(banned, self.tokens.line_breaks)
        if is_next and (not_again := self._not_again.get(self._lengths[-1])):
            banned |= not_again
        return banned if self._rules.may_end else self.tokens.union(banned, self.tokens.eos)

    def say(self, piece: str, length: int, may_fork: MayFork, refused: Refused) -> Said:
        """The thread sampled a token that says `piece`, the last of a path of `length` tokens."""
        item = self._rules.open_item
        step = self._rules.feed(piece)
        if self._detail is not None and (state := self._detail.feed(piece)).state == "ended":
            self._reader.feed(piece)
            return Said("end", max(self._begin + state.chars, self.told))
        self._seen = self._seen or bool(piece.strip())
        if step.action == "end":
            self._reader.feed(piece)
            return self._end(step)
        for number, character in enumerate(piece, 1):
            for lead in self._reader.feed(character):
                if step.action == "go" and lead.start >= self._begin:
                    keep = step.keep if item is None else min(step.keep, item)
                    said = self._at_lead(lead, piece[number:], length, keep, may_fork, refused)
                    if said is not None:
                        return said
        self._mark(length)
        self._rules_keep = step.keep
        return Said(step.action, self.keep, step.text) if step.action == "force" else Said("go", self.keep)

    def end(self, may_fork: MayFork, refused: Refused) -> Said | None:
        """The model ends the thread: what comes of that where its last line is a lead of a list that has forked.

        It is as if the line had been ended. None where the thread ends.
        """
        lead = self._reader.end()
        if lead is None or lead.start < self._begin:
            return None
        return self._at_lead(lead, "", self._lengths[-1], self._rules_keep, may_fork, refused)

    def _at_lead(
        self, lead: LeadEnd, rest: str, length: int, keep: int, may_fork: MayFork, refused: Refused
    ) -> Said | None:
        """What comes of a lead with the text `rest` behind what was read; None where the thread goes on."""
        plan = self._planned(lead, rest, length, may_fork, refused)
        if plan is not None:
            return Said("fork", plan.cut, plan=plan)
        if self._rules.has_forked(lead):
            # It would write bare leads, as those are that it sees.
            return Said("end", self._within_items(keep), lacks_room=True)
        return None

    @property
    def keep(self) -> int:
        """So many characters of the text may be told now."""
        keep = min(self._within_items(self._rules_keep), self._reader.unsure)
        if self._detail is not None:
            keep = min(keep, self._begin + self._detail.feed("").chars)
        return max(keep, self.told)

    def _within_items(self, keep: int) -> int:
        """Of `keep` characters those before an item that has no lead yet: without a detail it is not to be told."""
        begin = self._rules.open_item
        return max(keep if begin is None else min(keep, begin), self.told)

    def fork(self, plan: ForkPlan, is_last: bool = False) -> Said:
        """Carry out what concerns the parent: what it is forced to say, or that it does not fork: it ends, or says its
        lead again. `is_last` says that there is no thread for another fork."""
        step = self._rules.fork(plan.lead, plan.spaces + plan.surplus, len(plan.spaces), is_last)
        if step.action == "again":
            return self._again(plan.lead, step)
        if step.action == "end":
            return self._end(step)
        self._reader.rewind(plan.lead)
        self._reader.feed(plan.spaces + plan.surplus)
        self._rules_keep = step.keep
        self._read_detail_again()
        self._cut_borders(plan)
        return Said("force", self.keep, step.text)

    def say_not_again(self, kept: int, token: int) -> None:
        """The path is cut to `kept` tokens, behind which `token` shall not come again."""
        self.taken_back += 1
        self._not_again[kept] = self._not_again.get(kept, frozenset()) | {token}

    def force(self, text: str, length: int) -> int:
        """The thread says a text that was forced, and its path then has so many tokens; how much may be told then."""
        if self._detail is not None:
            self._detail.feed(text)
        self._reader.feed(text)
        self._mark(length)
        return self.keep

    def end_at(self, keep: int) -> None:
        """The rules end the thread: so many characters of its text stay."""
        self._ends_at = keep

    def finish(self, is_cut: bool = False) -> int:
        """The thread ends as it is, or `is_cut` by a limit: how many characters of its text stay."""
        if self._ends_at is not None:
            return self._ends_at
        keep = self._rules.finish(is_cut)
        if self._detail is not None:
            # Of a last line nobody knows what it would have become.
            keep = min(keep, self._begin + self._detail.feed("" if is_cut else "\n").chars)
        return max(min(keep, len(self.text)), self.told)

    def _again(self, lead: LeadEnd, step: Step) -> Said:
        """Take back a lead from its first word on; the thread ends where no token ends before that."""
        begin = lead.start + lead.marker.content
        word = next((k for k in range(begin, lead.at) if self.text[k].isalnum()), begin)
        border = bisect_right(self._offsets, word) - 1
        at, kept = self._offsets[border], self._lengths[border]
        if at < lead.start + len(lead.marker.indent + lead.marker.text.rstrip()) or at < self.told:
            return Said("end", max(step.keep, self.told), repeats=True)
        del self._offsets[border + 1 :], self._lengths[border + 1 :]
        self._reader.rewind_within(lead, at)
        self._rules_keep = self._rules.again(at)
        self._read_detail_again()
        return Said("again", self.keep, kept=kept)

    def _read_detail_again(self) -> None:
        if self._detail is not None and self._lead is not None:
            self._detail = DetailReader(self._lead)
            self._detail.feed(self.text[self._begin :])

    def _end(self, step: Step) -> Said:
        return Said("end", max(step.keep, self.told), repeats=step.reason == "repeated")

    def _cut_borders(self, plan: ForkPlan) -> None:
        """The borders of a path that goes on behind the lead, with nothing forced yet."""
        count = bisect_left(self._lengths, plan.kept)
        del self._offsets[count:], self._lengths[count:]
        self._offsets.append(plan.cut - len(plan.rest_text) if plan.rest else plan.cut + len(plan.surplus))
        self._lengths.append(plan.kept)
        if plan.rest:
            self._mark(plan.kept + len(plan.rest))

    def _mark(self, length: int) -> None:
        """A token ends here."""
        self._offsets.append(len(self.text))
        self._lengths.append(length)

    def _planned(self, lead: LeadEnd, rest: str, length: int, may_fork: MayFork, refused: Refused) -> ForkPlan | None:
        why: WhyNotForked | None = self._judge.why_not(lead, self.text)
        if self._rules.has_forked(lead):
            why = None
        if why is None and lead.opening < self._begin:
            why = "continued"
        if why is not None:
            refused(why)
            return None
        plan = self._plan(lead, self.text + rest, length)
        if plan is None or not may_fork(plan, self._rules.threads_for(lead)):
            refused("limits" if plan else "tokens")
            return None
        return plan

    def _plan(self, lead: LeadEnd, text: str, length: int) -> ForkPlan | None:
        """The fork behind `lead`, where `text` is there by then in a path of `length` tokens."""
        offsets, lengths = [*self._offsets, len(text)], [*self._lengths, length]
        cut = max(lead.at, self.told)
        at = bisect_left(offsets, cut)
        if text[cut : offsets[at]].strip():
            at = bisect_left(offsets, offsets[at - 1])
        begin = min(offsets[at], cut)
        opening = bisect_left(offsets, offsets[bisect_right(offsets, lead.opening) - 1])
        base, tail = child_text(text, lead), _tail(lead, text[cut:])
        # What is forced is like what is there: the separator, and a marker as that of the lead.
        texts = (text[begin:cut], base[offsets[opening] :], tail, f"\n\n{lead.lead}")
        encoded = [ids for each in texts if (ids := self.tokens.ids(each)) is not None]
        if len(encoded) < len(texts):
            return None
        rest, hidden, tail_ids, _ = encoded
        return ForkPlan(
            lead=lead,
            cut=cut,
            kept=lengths[at],
            rest=rest,
            rest_text=text[begin:cut],
            spaces=text[lead.at : cut],
            surplus=text[cut : offsets[at]],
            shared=lengths[opening],
            hidden=hidden,
            base=base,
            tail_ids=tail_ids,
            tail=tail,
        )


def _tail(lead: LeadEnd, behind: str) -> str:
    """What the child takes over of what was said `behind` the lead. White space is left to it, as a token joins it."""
    tail = behind.rstrip(" \t")
    if not may_begin(tail, lead):
        return ""
    state = DetailReader(lead).feed(tail)
    tail = tail[: state.chars] if state.state == "ended" else tail
    return tail if tail.strip() or lead.form == "line" else ""
