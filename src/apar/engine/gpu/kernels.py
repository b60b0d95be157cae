"""Paged attention in Triton. Imported only where Triton is installed.

`store` writes the keys and values of a pass to their slots. Every program of `attend` has one tile of a row's
queries, all query heads of one key head, and reads the row's blocks through its table with an online softmax
(Milakov and Gimelshein 2018; Dao et al. 2022). For a tile of one query the path may be split among programs, whose
results `join` puts together (flash-decoding, Dao et al. 2023). Sums are in float32, products of float32 tensors are
exact to float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def store(
    key,  # [T, KEY_HEADS, SIZE], SIZE dense
    value,
    keys,  # [blocks, KEY_HEADS, BLOCK_SIZE, SIZE], dense
    values,
    slots,  # [S]
    write_source,  # [S] the token of each slot; unused if not DUPLICATED
    key_token,
    key_head,
    value_token,
    value_head,
    KEY_HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PADDED: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    DUPLICATED: tl.constexpr,
):
    """Each program writes one slot of one key head."""
    number = tl.program_id(0)
    head = tl.program_id(1)
    slot = tl.load(slots + number)
    token = number.to(tl.int64)
    if DUPLICATED:
        token = tl.load(write_source + number)
    dimension = tl.arange(0, SIZE_PADDED)
    inside = dimension < SIZE
    place = ((slot // BLOCK_SIZE * KEY_HEADS + head) * BLOCK_SIZE + slot % BLOCK_SIZE) * SIZE + dimension
    found = tl.load(key + token * key_token + head * key_head + dimension, mask=inside)
    tl.store(keys + place, found, mask=inside)
    found = tl.load(value + token * value_token + head * value_head + dimension, mask=inside)
    tl.store(values + place, found, mask=inside)


@triton.jit(do_not_specialize=["width"])
def attend(
    query,  # [T, H, D], D dense
    keys,  # [blocks, KEY_HEADS, BLOCK_SIZE, SIZE], dense
    values,
    blocks,  # [R, W]
    ends,  # [R] slots filled, of the path and of the draft after it
    offsets,  # [R + 1]
    visible,  # [T] draft tokens that a draft token sees, bit k for the row's token k; this and two more: with DRAFTS
    positions,  # [T] path positions
    drafts,  # [R] draft tokens of each row
    tile_rows,  # [tiles] the row of each tile
    tile_firsts,  # [tiles] the first of the row's tokens that is in it
    out,  # [T, H, D], dense; unused with several splits
    sums,  # [tiles, H, SPLITS, SIZE] float32: what several splits found; unused with one
    tops,  # [tiles, H, SPLITS] the largest score, in powers of two
    masses,  # [tiles, H, SPLITS]
    width,
    query_token,
    query_head,
    scale,
    softcap,  # 0: none
    KEY_HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SIZE_PADDED: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    FOLDED: tl.constexpr,  # query heads of one key head
    FOLDED_PADDED: tl.constexpr,
    TILE: tl.constexpr,  # queries of a tile, times FOLDED_PADDED: at least 16
    SLOTS: tl.constexpr,  # read at a time
    WINDOW: tl.constexpr,  # 0: none
    CAPPED: tl.constexpr,
    SPLITS: tl.constexpr,
    DRAFTS: tl.constexpr,
):
    tile = tl.program_id(0)
    key_head = tl.program_id(1)
    split = tl.program_id(2)
    row = tl.load(tile_rows + tile)
    first = tl.load(tile_firsts + tile)
    offset = tl.load(offsets + row)
    length = tl.load(offsets + row + 1) - offset
    end = tl.load(ends + row)

    member = tl.arange(0, TILE)
    dimension = tl.arange(0, SIZE_PADDED)
    token = first + member // FOLDED_PADDED
    head = key_head * FOLDED + member % FOLDED_PADDED
    real = (token < length) & (member % FOLDED_PADDED < FOLDED)
    inside = dimension < SIZE
    queries = tl.load(
        query + (offset + token)[:, None] * query_token + head[:, None] * query_head + dimension[None, :],
        mask=real[:, None] & inside[None, :],
        other=0.0,
    )
    # The last slot of the path that each query sees and its path position, which without a draft are the same, and
    # the slots that any query of the tile sees: from `begin` to `stop`.
    last = end - length + token
    position = last
    earliest = end - length + first
    path_end = end
    if DRAFTS:
        path_end = end - tl.load(drafts + row)
        mask = tl.load(visible + offset + token, mask=real, other=0)
        position = tl.load(positions + offset + token, mask=real, other=0)
        last = tl.minimum(last, path_end - 1)
        # No draft token's position is before the path's end.
        earliest = tl.minimum(earliest, path_end)
    most = tl.minimum(first + TILE // FOLDED_PADDED, length)
    stop = end - length + most
    begin = 0 * stop
    if WINDOW > 0:
        begin = tl.maximum(earliest + 1 - WINDOW, 0) // SLOTS * SLOTS
    if SPLITS > 1:
        share = tl.cdiv(tl.cdiv(stop - begin, SPLITS), SLOTS) * SLOTS
        begin += split * share
        stop = tl.minimum(stop, begin + share)

    top = tl.full([TILE], float("-inf"), tl.float32)
    mass = tl.zeros([TILE], tl.float32)
    total = tl.zeros([TILE, SIZE_PADDED], tl.float32)
    for start in range(begin, stop, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        there = slot < stop
        block = tl.load(blocks + row * width + slot // BLOCK_SIZE, mask=there, other=0)
        place = ((block * KEY_HEADS + key_head) * BLOCK_SIZE + slot % BLOCK_SIZE) * SIZE
        read = there[:, None] & inside[None, :]
        key = tl.load(keys + place[:, None] + dimension[None, :], mask=read, other=0.0)
        score = tl.dot(queries, tl.trans(key), input_precision="ieee") * scale
        if CAPPED:
            score = softcap * (2.0 / (1.0 + tl.exp(-2.0 * score / softcap)) - 1.0)
        seen = there[None, :] & (slot[None, :] <= last[:, None])
        key_position = slot
        if DRAFTS:
            number = slot - path_end
            drafted = there & (number >= 0)
            bit = mask[:, None] >> tl.where(drafted, number, 0)[None, :]
            seen = seen | (drafted[None, :] & ((bit & 1) != 0))
            fed = offset + length - end + slot
            key_position = tl.load(positions + fed, mask=drafted, other=0)
            key_position = tl.where(drafted, key_position, slot)
        if WINDOW > 0:
            seen = seen & (key_position[None, :] > position[:, None] - WINDOW)
        score = tl.where(seen, score * LOG2_E, float("-inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        # A query that has seen nothing yet keeps -inf, which must not be taken from itself.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp2(score - base[:, None])
        shrink = tl.exp2(top - base)
        value = tl.load(values + place[:, None] + dimension[None, :], mask=read, other=0.0)
        mass = mass * shrink + tl.sum(weight, 1)
        total = total * shrink[:, None] + tl.dot(weight.to(value.dtype), value, input_precision="ieee")
        top = higher

    heads = KEY_HEADS * FOLDED
    stored = real[:, None] & inside[None, :]
    if SPLITS == 1:
        result = total / tl.where(mass > 0.0, mass, 1.0)[:, None]
        to = out + ((offset + token) * heads + head)[:, None] * SIZE + dimension[None, :]
        tl.store(to, result.to(out.dtype.element_ty), mask=stored)
    else:
        part = (tile * heads + head) * SPLITS + split
        tl.store(sums + part[:, None] * SIZE + dimension[None, :], total, mask=stored)
        tl.store(tops + part, top, mask=real)
        tl.store(masses + part, mass, mask=real)


@triton.jit
def join(
    sums,  # [tiles, H, SPLITS, SIZE] float32
    tops,  # [tiles, H, SPLITS]
    masses,  # [tiles, H, SPLITS]
    out,  # [T, H, D], dense; tile t is token t
    SIZE: tl.constexpr,
    SIZE_PADDED: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """Put the splits of one query and head together. At least one of them has seen something."""
    place = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)).to(tl.int64)
    split = tl.arange(0, SPLITS)
    dimension = tl.arange(0, SIZE_PADDED)
    inside = dimension < SIZE
    top = tl.load(tops + place * SPLITS + split)
    weight = tl.exp2(top - tl.max(top, 0))
    mass = tl.sum(weight * tl.load(masses + place * SPLITS + split), 0)
    parts = tl.load(
        sums + (place * SPLITS + split)[:, None] * SIZE + dimension[None, :], mask=inside[None, :], other=0.0
    )
    result = tl.sum(weight[:, None] * parts, 0) / mass
    tl.store(out + place * SIZE + dimension, result.to(out.dtype.element_ty), mask=inside)
