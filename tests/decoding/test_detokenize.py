"""Text of a thread's tokens, as they come."""

from __future__ import annotations

import random

import pytest
from tokenizers import Tokenizer, decoders, models

from apar.decoding.detokenize import BROKEN, Decode, Detokenizer
from tests.test_tokens import byte_tokenizer


def byte_decode() -> tuple[list[int], Decode]:
    """Every byte's id, and byte-level decoding."""
    tokenizer = byte_tokenizer()
    ids = [tokenizer.encode("a", add_special_tokens=False)[0]] * 256
    for byte, letter in _byte_letters().items():
        ids[byte] = tokenizer.convert_tokens_to_ids(letter)
    return ids, tokenizer.decode


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in byte-level vocabularies."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


def pieces(detokenizer: Detokenizer, ids: list[int]) -> list[str]:
    return [detokenizer.feed(token) for token in ids]


def space_decode() -> Decode:
    """Decoding as SentencePiece does it: the space before the first word is dropped."""
    words = ["▁One", ":", "▁two", "▁three"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "▁One"))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer.decode


def fallback_decode() -> Decode:
    """Token 0 is `a`, token 1 + n the byte n; bytes side by side that are no text are all broken, as in Llama 2."""
    words = ["a", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "a"))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer.decode


def test_a_character_of_several_tokens_is_shown_when_it_is_complete() -> None:
    ids, decode = byte_decode()
    shown = pieces(Detokenizer(decode), [ids[byte] for byte in "a€😀b".encode()])
    assert shown == ["a", "", "", "€", "", "", "", "😀", "b"]


def test_an_incomplete_character_is_shown_as_broken_when_the_node_ends() -> None:
    ids, decode = byte_decode()
    detokenizer = Detokenizer(decode)
    assert pieces(detokenizer, [ids[byte] for byte in "a€".encode()[:-1]]) == ["a", "", ""]
    assert detokenizer.flush() == BROKEN
    assert detokenizer.flush() == ""


def test_bytes_after_a_broken_character_do_not_complete_it() -> None:
    ids, decode = byte_decode()
    detokenizer = Detokenizer(decode)
    *first, last = (ids[byte] for byte in "€".encode())
    shown = "".join(pieces(detokenizer, first)) + detokenizer.flush()
    assert shown + detokenizer.feed(last) + detokenizer.flush() == BROKEN * 2


def test_bytes_that_are_no_character_are_held_back_for_three_tokens_at_most() -> None:
    ids, decode = byte_decode()
    detokenizer = Detokenizer(decode)
    assert pieces(detokenizer, [ids[0x80]] * 9) == ["", "", "", *[BROKEN] * 6]
    assert detokenizer.flush() == BROKEN * 3


@pytest.mark.parametrize("stray", range(6))
@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_character_after_stray_bytes_is_not_lost(stray: int, character: str) -> None:
    ids, decode = byte_decode()
    text = "".join(pieces(Detokenizer(decode), [ids[byte] for byte in b"a" + b"\x80" * stray + character.encode()]))
    assert text == "a" + BROKEN * stray + character


@pytest.mark.parametrize("stray", range(6))
@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_a_decoder_that_gives_up_on_a_whole_run_of_bytes_does_not_lose_the_character(
    stray: int, character: str
) -> None:
    detokenizer = Detokenizer(fallback_decode())
    text = "".join(pieces(detokenizer, [0, *[1 + 0x80] * stray, *[1 + byte for byte in character.encode()]]))
    assert text == "a" + BROKEN * stray + character


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_bytes_the_pieces_are_what_they_decode_to(seed: int) -> None:
    ids, decode = byte_decode()
    rng = random.Random(seed)
    characters = [
        *(letter.encode() for letter in ["a", "é", "漢", "😀", BROKEN]),
        b"\x80",
        b"\xe2",
        b"\xe2\x82",
        b"\xf0",
    ]
    data = b"".join(rng.choice(characters) for _ in range(60))
    detokenizer = Detokenizer(decode)
    shown = "".join(pieces(detokenizer, [ids[byte] for byte in data]))
    assert shown + detokenizer.flush() == data.decode(errors="replace")


def test_tokens_that_end_within_a_character_one_after_the_other_lose_none() -> None:
    euro = "€".encode()
    parts = [euro[:1], *[euro[1:] + euro[:1]] * 6, euro[1:]]

    def decode(numbers: list[int]) -> str:
        return b"".join(parts[number] for number in numbers).decode(errors="replace")

    assert "".join(pieces(Detokenizer(decode), [*range(len(parts))])) == "€" * 7


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_characters_the_pieces_are_the_text(seed: int) -> None:
    ids, decode = byte_decode()
    rng = random.Random(seed)
    text = "".join(rng.choice(["a", " ", "é", "漢", "😀", "\n", f"{BROKEN}."]) for _ in range(30))
    detokenizer = Detokenizer(decode)
    shown = "".join(pieces(detokenizer, [ids[byte] for byte in text.encode()]))
    assert shown + detokenizer.flush() == text


def test_the_first_text_of_an_answer_has_no_space_and_a_childs_keeps_it() -> None:
    parent = Detokenizer(space_decode())
    assert pieces(parent, [0, 1]) == ["One", ":"]
    child = parent.fork()
    assert pieces(child, [2]) == [" two"]
    assert pieces(parent, [3]) == [" three"]


def test_a_child_does_not_disturb_its_parent() -> None:
    ids, decode = byte_decode()
    parent = Detokenizer(decode)
    parent.feed(ids[ord("a")])
    child = parent.fork()
    euro = [ids[byte] for byte in "€".encode()]
    child.feed(euro[0])
    assert pieces(parent, euro) == ["", "", "€"]
    assert pieces(child, euro[1:]) == ["", "€"]
