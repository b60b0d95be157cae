"""Paged attention in plain PyTorch, for every device and type: the blocks are gathered, and PyTorch attends.

Shape letters: T tokens fed, H query heads, K key heads, F query heads per key head (H = K * F), D head size,
G groups, N tokens per group, W blocks per group, L slots gathered per group, M pairs of draft tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from apar.engine.attention import Layout, PreparedAttention, Scores, store
from apar.engine.cache import PagedCache
from apar.scheduling.draft import Draft
from apar.scheduling.scheduler import Row


@dataclass(frozen=True, slots=True)
class TorchAttention:
    """Gathers whole blocks. Threads of one group share most of their path, so theirs are gathered once."""

    cache: PagedCache

    def prepare(self, layout: Layout) -> PreparedAttention:
        decoding = [row for row in layout.rows if row.end - row.begin == 1]
        longer = list(zip(layout.rows, layout.offsets, strict=False))[len(decoding) :]
        decode = _decode_batch(decoding, self.cache) if decoding else None
        return _Prepared(layout, decode, tuple(_prefill(row, offset, self.cache) for row, offset in longer))


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Rows that are fed one token of their path each come first in the layout."""

    layout: Layout
    decode: DecodeBatch | None
    prefills: tuple[Prefill, ...]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        store(keys, key, self.layout)
        store(values, value, self.layout)
        outputs = [part.attend(query, keys, values, scores) for part in self.prefills]
        if self.decode:
            outputs.insert(0, self.decode.attend(query, keys, values, scores))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


@dataclass(slots=True)
class Prefill:
    """A thread that is fed several tokens of its path: those from `first` on of the pass, to its slots from `begin`
    to `end`. The last of them are its `draft`.
    """

    first: int
    begin: int
    end: int
    blocks: Tensor  # [W]
    dtype: torch.dtype
    draft: Draft | None
    masks: dict[int | None, Tensor] = field(default_factory=dict)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        """Returns `[tokens, H, D]`."""
        if scores.window not in self.masks:
            self.masks[scores.window] = self._mask(scores.window)
        query = query[self.first : self.first + self.end - self.begin].transpose(0, 1).unsqueeze(0)
        key, value = (_gather(tensor, self.blocks, 1)[:, :, : self.end] for tensor in (keys, values))
        output = _attention(query, key, value, self.masks[scores.window], scores)
        return output[0].transpose(0, 1)

    def _mask(self, window: int | None) -> Tensor:
        """[tokens, L], added to the scores."""
        slots = torch.arange(self.end, device=self.blocks.device)
        tokens = slots[self.begin :].unsqueeze(1)
        seen = slots <= tokens
        if self.draft is not None:
            count, visible = len(self.draft), self.draft.visible
            rows = [[bool(mask >> number & 1) for number in range(count)] for mask in visible]
            seen[-count:, -count:] = torch.tensor(rows, device=slots.device)
            # From here on positions, which for draft tokens are not their slots.
            slots[-count:] = torch.tensor(self.draft.depths, device=slots.device) + (self.end - count)
        return _additive(seen if window is None else seen & (slots > tokens - window), self.dtype)


@dataclass(slots=True)
class DecodeBatch:
    """The threads that are fed one token each, and their drafts: the first tokens of the pass, group after group.

    The blocks of all of a group's threads are gathered once and each token sees its own by a mask. Groups of
    fewer tokens, or of fewer blocks, are padded.
    """

    tokens: int
    groups: int
    blocks: Tensor  # [G * W]
    starts: Tensor  # [G, 1, W, 1] path index of each block's first token
    filled: Tensor  # [G, N, W, 1] how many of a block's slots belong to the path of the token's thread
    ends: Tensor  # [G, N, 1, 1] path position after the token
    empty: Tensor  # [G, 1, L, 1] slots that no thread fills
    pad_index: Tensor | None  # [G * N] which token each padded row has; None: no padding
    unpad_index: Tensor | None  # [tokens] the padded row of each token
    drafts: Tensor | None  # [4, M] group, token and slot of every draft token that one sees, and how far back it is
    block_size: int
    dtype: torch.dtype
    masks: dict[tuple[int | None, int], Tensor] = field(default_factory=dict)

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scores: Scores) -> Tensor:
        """Returns `[tokens, H, D]`."""
        kv_heads, size = keys.shape[1], keys.shape[3]
        heads, groups = query.shape[1], self.groups
        query = query[: self.tokens].transpose(0, 1)
        if self.pad_index is not None:
            query = query.index_select(1, self.pad_index)
        # Query heads of one key head, and tokens of one group, become rows of one product.
        rows = query.reshape(kv_heads, heads // kv_heads, groups, -1, size).permute(2, 0, 1, 3, 4)
        folded = rows.reshape(groups, kv_heads, -1, size)  # [G, K, F * N, D]
        # What somebody left there may be no number, and would spread through the mask.
        keys, values = (_gather(tensor, self.blocks, groups).masked_fill(self.empty, 0) for tensor in (keys, values))
        output = _attention(folded, keys, values, self._mask(scores.window, heads // kv_heads), scores)
        output = output.view(groups, kv_heads, heads // kv_heads, -1, size).permute(0, 3, 1, 2, 4)
        output = output.reshape(-1, heads, size)
        return output if self.unpad_index is None else output.index_select(0, self.unpad_index)

    def _mask(self, window: int | None, folded: int) -> Tensor:
        """[G, 1, F * N, L], added to the scores."""
        if (window, folded) not in self.masks:
            slots = torch.arange(self.block_size, device=self.blocks.device)
            seen = slots < self.filled
            if window is not None:
                seen = seen & (self.starts + slots >= self.ends - window)
            seen = seen.flatten(2)
            if self.drafts is not None:
                group, token, slot, distance = self.drafts
                seen[group, token, slot] = distance < window if window is not None else distance >= 0
            mask = _additive(seen, self.dtype)  # [G, N, L]
            mask = mask[:, None, None].expand(-1, 1, folded, -1, -1)
            self.masks[window, folded] = mask.reshape(self.groups, 1, -1, mask.shape[-1])
        return self.masks[window, folded]


def _prefill(row: Row, first: int, cache: PagedCache) -> Prefill:
    blocks = torch.tensor(row.thread.blocks, device=cache.device)
    return Prefill(first, row.begin, row.filled, blocks, cache.dtype, row.draft)


def _decode_batch(rows: Sequence[Row], cache: PagedCache) -> DecodeBatch:
    def tensor(data: Sequence[object], *shape: int) -> Tensor:
        return torch.tensor(data, device=cache.device).view(shape)

    groups = [list(members) for _, members in groupby(rows, key=lambda row: row.group.number)]
    # A block holds the same part of the path for every thread that has it.
    unions = [_union(members) for members in groups]
    counts = [sum(row.length for row in members) for members in groups]
    width, most, size = max(map(len, unions)), max(counts), cache.block_size
    blocks = [[*union, *[0] * (width - len(union))] for union in unions]
    starts = [[*(index * size for index in u.values()), *[0] * (width - len(u))] for u in unions]
    filled, ends, written, drafts = [], [], [], []
    for number, (members, union) in enumerate(zip(groups, unions, strict=True)):
        column = {block: place for place, block in enumerate(union)}
        reached = [_filled(row, row.filled, column, width, size) for row in members]
        written.append([max(slots) for slots in zip(*reached, strict=True)])
        tokens = 0
        for row, own in zip(members, reached, strict=True):
            if row.draft is not None:
                own = _filled(row, row.end, column, width, size)
                drafts += [(number, *seen) for seen in _seen_drafts(row, row.draft, tokens + 1, column, size)]
            filled += [own] * row.length
            ends += [position + 1 for position in row.positions]
            tokens += row.length
        # A padded row sees something: one that saw nothing would be not a number.
        filled += [[1] * width] * (most - tokens)
        ends += [0] * (most - tokens)
    pad_index, unpad_index = _padding(counts)
    count = len(groups)
    slots = torch.arange(size, device=cache.device)
    return DecodeBatch(
        tokens=sum(counts),
        groups=count,
        blocks=tensor(blocks, count * width),
        starts=tensor(starts, count, 1, width, 1),
        filled=tensor(filled, count, most, width, 1),
        ends=tensor(ends, count, most, 1, 1),
        empty=(slots >= tensor(written, count, width, 1)).view(count, 1, -1, 1),
        pad_index=None if pad_index is None else tensor(pad_index, len(pad_index)),
        unpad_index=None if unpad_index is None else tensor(unpad_index, len(unpad_index)),
        drafts=tensor(drafts, len(drafts), 4).T if drafts else None,
        block_size=size,
        dtype=cache.dtype,
    )


def _union(members: Sequence[Row]) -> dict[int, int]:
    """The blocks that a group's threads hold, each with its index in the block tables."""
    return {block: index for row in members for index, block in enumerate(row.thread.blocks)}


def _filled(row: Row, end: int, column: dict[int, int], width: int, block_size: int) -> list[int]:
    """How many slots of each of the group's blocks are among the first `end` of the row."""
    filled = [0] * width
    for index, block in enumerate(row.thread.blocks):
        filled[column[block]] = max(0, min(block_size, end - index * block_size))
    return filled


def _seen_drafts(
    row: Row, draft: Draft, first: int, column: dict[int, int], block_size: int
) -> Iterator[tuple[int, int, int]]:
    """Which draft tokens see which: the token's number, from `first` on, the slot, and how far back that is."""
    depths = draft.depths
    for number, mask in enumerate(draft.visible):
        for other in range(number + 1):
            if mask >> other & 1:
                index, offset = divmod(row.end + other, block_size)
                slot = column[row.thread.blocks[index]] * block_size + offset
                yield first + number, slot, depths[number] - depths[other]


def _padding(counts: Sequence[int]) -> tuple[list[int] | None, list[int] | None]:
    """For groups of so many tokens each: the token of each padded row, and the padded row of each token."""
    most = max(counts)
    unpad_index = [number * most + k for number, count in enumerate(counts) for k in range(count)]
    if len(unpad_index) == most * len(counts):
        return None, None
    pad_index = [0] * (most * len(counts))
    for token, row in enumerate(unpad_index):
        pad_index[row] = token
    return pad_index, unpad_index


def _gather(cache: Tensor, blocks: Tensor, groups: int) -> Tensor:
    """The blocks' rows as `[G, K, L, D]`."""
    _, heads, _, size = cache.shape
    rows = cache.index_select(0, blocks).view(groups, -1, heads, cache.shape[2], size)
    return rows.transpose(1, 2).reshape(groups, heads, -1, size)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scores: Scores) -> Tensor:
    """Attention with an additive mask; PyTorch's own unless the scores are soft-capped."""
    if scores.softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scores.scale, enable_gqa=True)
    if query.shape[1] != key.shape[1]:
        folded = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(folded, 1), value.repeat_interleave(folded, 1)
    products = (query @ key.transpose(-1, -2)) * scores.scale
    products = scores.softcap * torch.tanh(products / scores.softcap) + mask
    return products.float().softmax(-1).to(query.dtype) @ value


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, float("-inf"))
