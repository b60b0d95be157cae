"""From logits to tokens. The same logits always give the same token, whatever else is in the pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from apar.decoding.group import Sampled
from apar.decoding.params import SamplingParams
from apar.engine.penalties import adjust
from apar.events import TokenLogprob
from apar.scheduling.place import Place

_ROWS_AT_ONCE = 4
"""Rows sampled together on the CPU: what is computed for more of them does not stay in its caches."""

_TYPICAL_LOGPROB, _TYPICAL_SHARE = math.log(0.09), 0.3
"""Medusa's bounds for a draft token to count: that likely, or less where the distribution is wide: this share of
exp(-entropy) (arXiv 2401.10774, section 2.3.1; the values are those that its code begins with)."""

_LEAST_LOGPROB = -1e4

_FEW_BANNED = 32
"""Tokens of a set up to which they are banned one by one."""

_FIRST_RANKS = 1024
"""Tokens looked at first for top-k and top-p: they are nearly always enough, and sorting all is slow."""


@torch.inference_mode()
def sample(places: Sequence[Place], logits: Tensor) -> list[Sampled | None]:
    """The next token at every place, None where its logits are not numbers.

    What each place's grammar bans is never taken, nor what was refused there. `logits` `[places, vocabulary]`
    are overwritten where a token is banned.
    """
    # The maximum of a row with a NaN is one; a row of -inf alone has no token to give.
    sound = logits.amax(-1).isfinite()
    logits = logits.float()
    banned = [place.banned for place in places]
    _ban(logits, banned)
    # Those of a token that was refused included: it was a possible one when the step began.
    scores = _Logprobs(places, logits)
    _ban(logits, [place.refused for place in places])
    adjust(logits, places)
    drawn = _draw(logits, places)
    _take_typical(drawn, logits, places)
    # One transfer for both: each makes the host wait for the device.
    tokens, healthy = torch.stack([drawn, sound]).tolist()
    return [
        Sampled(token, logprob, bans) if good else None
        for token, logprob, bans, good in zip(tokens, scores.of(tokens), banned, healthy, strict=True)
    ]


def _ban(logits: Tensor, banned: Sequence[frozenset[int]]) -> None:
    """Make the tokens of each row's set impossible. Rows differ in few sets, and most sets have few tokens."""
    for number, tokens in enumerate(banned):
        if len(tokens) > _FEW_BANNED:
            logits[number, _indices(tokens, logits.device)] = float("-inf")
    for token in frozenset().union(*(tokens for tokens in set(banned) if len(tokens) <= _FEW_BANNED)):
        rows = [token in tokens for tokens in banned]
        if all(rows):
            logits[:, token] = float("-inf")
        else:
            logits[:, token].masked_fill_(torch.tensor(rows, device=logits.device), float("-inf"))


@lru_cache(maxsize=64)
def _indices(tokens: frozenset[int], device: torch.device) -> Tensor:
    """The ids of a large set, which comes again and again."""
    return torch.tensor(sorted(tokens), device=device)


class _Logprobs:
    """What the places whose requests ask for log probabilities are told."""

    def __init__(self, places: Sequence[Place], logits: Tensor) -> None:
        """`logits` [places, vocabulary], of which nothing is kept."""
        self._asking = {
            number: place.group.params.logprobs
            for number, place in enumerate(places)
            if place.group.params.logprobs is not None
        }
        self._scores = logits[list(self._asking)].double().log_softmax(-1) if self._asking else None

    def of(self, tokens: Sequence[int]) -> list[TokenLogprob | None]:
        """Those of the places' tokens, None where nobody asks."""
        found: list[TokenLogprob | None] = [None] * len(tokens)
        if self._scores is None:
            return found
        asked = torch.tensor([tokens[number] for number in self._asking], device=self._scores.device).unsqueeze(1)
        scores = self._scores.gather(1, asked).squeeze(1).tolist()
        for number, score, top in zip(self._asking, scores, self._likeliest(self._scores), strict=True):
            found[number] = TokenLogprob(tokens[number], score, top)
        return found

    def _likeliest(self, scores: Tensor) -> list[tuple[tuple[int, float], ...]]:
        """As many as each row asks for, of equals those with the lowest ids; none that cannot come.

        `topk` tells the values only: which of equals it takes depends on how many the other rows ask for.
        """
        counts = [min(count, scores.shape[-1]) for count in self._asking.values()]
        if not any(counts):
            return [()] * len(counts)
        values = scores.topk(max(counts), -1).values
        last = torch.tensor([max(count - 1, 0) for count in counts], device=scores.device).unsqueeze(1)
        kept = ((scores >= values.gather(1, last)) & scores.isfinite()).nonzero()
        tops: list[list[tuple[int, float]]] = [[] for _ in counts]
        for (place, token), score in zip(kept.tolist(), scores[kept[:, 0], kept[:, 1]].tolist(), strict=True):
            tops[place].append((token, score))
        # The sort keeps the order of ids.
        return [tuple(sorted(top, key=lambda pair: -pair[1])[:count]) for top, count in zip(tops, counts, strict=True)]


def _draw(logits: Tensor, places: Sequence[Place]) -> Tensor:
    """The tokens by each request's parameters [places]; any where the logits are not numbers."""
    tokens = logits.argmax(-1)
    sampled = [number for number, place in enumerate(places) if place.group.params.temperature > 0]
    size = _ROWS_AT_ONCE if logits.device.type == "cpu" else len(places)
    for start in range(0, len(sampled), size):
        some = sampled[start : start + size]
        tokens[some] = _sample(logits[some], [places[number] for number in some])
    return tokens


def _take_typical(tokens: Tensor, logits: Tensor, places: Sequence[Place]) -> None:
    """In place of what was drawn take the likeliest draft token that is likely enough, where a request wants that."""
    for number, place in enumerate(places):
        if not place.candidates or not place.group.params.temperature:
            continue
        logprobs = (logits[number].double() / place.group.params.temperature).log_softmax(-1)
        entropy = -(logprobs.exp() * logprobs.clamp_min(_LEAST_LOGPROB)).sum()
        least = torch.minimum(torch.log(_TYPICAL_SHARE * torch.exp(-entropy)), torch.tensor(_TYPICAL_LOGPROB))
        candidates = torch.tensor(place.candidates, device=logits.device)
        best = logprobs[candidates].argmax()
        if logprobs[candidates[best]] > least:
            tokens[number] = candidates[best]


def _sample(logits: Tensor, places: Sequence[Place]) -> Tensor:
    params = [place.group.params for place in places]
    temperatures = torch.tensor([p.temperature for p in params], dtype=torch.float64, device=logits.device)
    # From the largest down, so that no temperature is too small: the largest stays 0, the others fall.
    logits = (logits - logits.amax(-1, keepdim=True)) / temperatures.unsqueeze(1)
    if any(p.min_p for p in params):
        logits = _keep_near_likeliest(logits, params)
    choosy = [number for number, p in enumerate(params) if p.top_k or p.top_p < 1]
    if choosy:
        logits[choosy] = _keep_likely(logits[choosy], [params[number] for number in choosy])
    numbers = [place.random_number for place in places]
    return _invert(logits, torch.tensor(numbers, dtype=torch.float64, device=logits.device))


def _invert(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The token at which the cumulative probability, in the order of ids, passes the row's number.

    In the order of ids, not of probability, a rounding error moves a border a little but never swaps tokens.
    """
    cumulative = logits.softmax(-1).cumsum(-1)
    targets = (uniforms * cumulative[:, -1]).unsqueeze(1)
    # Beyond the last token only where the logits are not numbers.
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp_max(logits.shape[-1] - 1)


def _keep_near_likeliest(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Only logits of tokens with at least `min_p` times the probability of the likeliest, whose logit is 0."""
    least = [math.log(p.min_p) if p.min_p else -math.inf for p in params]
    borders = torch.tensor(least, dtype=torch.float64, device=logits.device).unsqueeze(1)
    return logits.masked_fill(logits < borders, float("-inf"))


def _keep_likely(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Only the `top_k` largest logits, and of these the fewest that together have probability `top_p`.

    Tokens that tie with the last one kept are kept too, so that no order of equals matters. The largest logit is 0.
    """
    likeliest = logits.softmax(-1).amax(-1, keepdim=True)
    ranks = min(_FIRST_RANKS, logits.shape[-1])
    least, kept = _least_kept(logits.topk(ranks).values, likeliest, params)
    long = _beyond(ranks, kept, params) if ranks < logits.shape[-1] else []
    if long:
        ranked = logits[long].sort(-1, descending=True).values
        least[long], _ = _least_kept(ranked, likeliest[long], [params[number] for number in long])
    return logits.masked_fill(logits < least, float("-inf"))


def _beyond(ranks: int, kept: Tensor, params: Sequence[SamplingParams]) -> list[int]:
    """The rows that may keep more than the first `ranks`, of which they keep `kept` [rows].

    A row's own parameters and logits decide that: its sums are the same bits whatever the others need.
    """
    if all(0 < p.top_k <= ranks for p in params):
        return []  # known without waiting for the device
    return [
        number
        for number, (p, count) in enumerate(zip(params, kept.tolist(), strict=True))
        if p.top_k > ranks or (not p.top_k and count == ranks)
    ]


def _least_kept(ranked: Tensor, likeliest: Tensor, params: Sequence[SamplingParams]) -> tuple[Tensor, Tensor]:
    """The smallest logit that is kept [rows, 1], and how many of `ranked` [rows, ranks], largest first, are [rows].

    `likeliest` [rows, 1] is the probability of the token with the logit 0.
    """
    ranks = ranked.shape[-1]
    counts = torch.tensor([p.top_k or ranks for p in params], device=ranked.device).clamp_max(ranks).unsqueeze(1)
    shares = [p.top_p if p.top_p < 1 else math.inf for p in params]
    masses = torch.tensor(shares, dtype=ranked.dtype, device=ranked.device).unsqueeze(1)
    probabilities = ranked.exp() * likeliest
    cumulative = probabilities.cumsum(-1)
    # `top_p` is of the mass that `top_k` leaves; without it, of all, though not all are ranked here.
    limited = torch.tensor([bool(p.top_k) for p in params], device=ranked.device).unsqueeze(1)
    masses = masses * torch.where(limited, cumulative.gather(1, counts - 1), 1.0)
    # A rank is kept while the ranks before it have less than the mass; rank 0 always is, even if it is no number.
    places = torch.arange(ranks, device=ranked.device)
    kept = ((cumulative - probabilities < masses) & (places < counts)).sum(-1, keepdim=True).clamp_min(1)
    return ranked.gather(1, kept - 1), kept.squeeze(1)
