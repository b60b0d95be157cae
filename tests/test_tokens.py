"""Control tokens: added once, found by name, and never made from a user's text."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from apar.errors import ModelError, RequestError
from apar.tokens import (
    CHILD,
    FORK,
    ControlTokens,
    PromptEncoder,
    add_control_tokens,
    encode_prompt,
    encode_text,
    end_tokens,
)

TEMPLATE = (
    "{% for turn in messages %}<|{{ turn['role'] }}|>{{ turn['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer(**settings: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE with an end token and two template tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Hello world, forks and children."] * 10, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{"eos_token": "<eos>", **settings})


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer(chat_template=TEMPLATE)
    add_control_tokens(tokenizer)
    return tokenizer


def test_adding_the_control_tokens_twice_adds_them_once() -> None:
    tokenizer = byte_tokenizer()
    assert (add_control_tokens(tokenizer), add_control_tokens(tokenizer)) == (2, 0)


def test_adding_control_tokens_keeps_other_special_tokens() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<mine>"]})
    add_control_tokens(tokenizer)
    assert len(tokenizer.encode("<mine>", add_special_tokens=False)) == 1


def test_ids_are_found_by_name_and_hidden_from_the_answer(tokenizer: PreTrainedTokenizerFast) -> None:
    control = ControlTokens.of(tokenizer)
    assert tokenizer.convert_ids_to_tokens([control.fork, control.child]) == [FORK, CHILD]
    assert control.hidden == {control.fork, control.child, tokenizer.eos_token_id}


def test_a_tokenizer_without_control_tokens_names_what_is_missing_and_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"\[Fork\] or \[Child\].*--fork off"):
        ControlTokens.of(byte_tokenizer())


def test_every_end_token_counts_and_one_is_needed() -> None:
    tokenizer = byte_tokenizer()
    assert end_tokens(tokenizer, [7]) == {tokenizer.eos_token_id, 7}
    with pytest.raises(ModelError, match="end-of-sequence"):
        end_tokens(byte_tokenizer(eos_token=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["[Fork]", " a [Child][Fork]\n", "x<eos>y", "<|user|>"])
def test_ordinary_text_holds_no_special_token_and_decodes_to_itself(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    ids = encode_text(tokenizer, text)
    assert not set(ids) & set(tokenizer.get_added_vocab().values())
    assert tokenizer.decode(ids) == text


def test_control_tokens_in_a_question_are_ordinary_text_and_the_template_keeps_its_own(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    ids = encode_prompt(tokenizer, [{"role": "user", "content": "what is [Fork] and[Child]?"}])
    control = ControlTokens.of(tokenizer)
    assert not set(ids) & {control.fork, control.child}
    assert tokenizer.decode(ids) == "<|user|>what is [Fork] and[Child]?<|assistant|>"
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<|user|>", "<|assistant|>"]


def test_encoding_text_leaves_the_tokenizer_as_it_was(tokenizer: PreTrainedTokenizerFast) -> None:
    encode_text(tokenizer, "[Fork]")
    assert len(tokenizer.encode("[Fork]", add_special_tokens=False)) == 1


def test_a_tokenizer_without_template_cannot_encode_a_chat() -> None:
    with pytest.raises(ModelError, match="chat template"):
        encode_prompt(byte_tokenizer(), [{"role": "user", "content": "hello"}])


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], [{"role": "user", "content": None}], ["hello"]])
def test_malformed_messages_are_a_request_error(tokenizer: PreTrainedTokenizerFast, messages: list) -> None:
    with pytest.raises(RequestError, match="message"):
        encode_prompt(tokenizer, messages)


def test_what_a_template_refuses_is_a_request_error_with_its_reason() -> None:
    tokenizer = byte_tokenizer(chat_template="{{ raise_exception('no system turn') }}")
    with pytest.raises(RequestError, match="no system turn"):
        encode_prompt(tokenizer, [{"role": "system", "content": "x"}])


def prefix_space_tokenizer() -> PreTrainedTokenizerFast:
    """Like SentencePiece models: a space is put before whatever is encoded, and taken off the decoded text."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    alphabet = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<eos>", *alphabet], show_progress=False)
    tokenizer.train_from_iterator(["1. Plan ahead: write down. 2. Rest: sleep well."] * 10, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


def test_texts_encoded_one_by_one_decode_to_the_joined_text_where_a_space_is_put_before_each() -> None:
    tokenizer = prefix_space_tokenizer()
    pieces = ["1. Plan ahead:", " write down.", "\n2. Rest:", " sleep well.", ""]
    plain = [token for piece in pieces for token in tokenizer.encode(piece, add_special_tokens=False)]
    assert tokenizer.decode(plain) != "".join(pieces), "this tokenizer does not need the anchor"
    ids = [token for piece in pieces for token in encode_text(tokenizer, piece)]
    assert tokenizer.decode(ids) == "".join(pieces)


def test_a_raw_prompt_keeps_special_tokens_and_turns_control_tokens_to_text(tokenizer: PreTrainedTokenizerFast) -> None:
    text = f"<|user|>Say {FORK}{CHILD}, please<|assistant|>"
    ids = PromptEncoder(tokenizer).raw(text)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert not ControlTokens.of(tokenizer).hidden & set(ids)
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|user|>")
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|assistant|>")


def test_ids_that_are_no_tokens_or_control_tokens_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    control = ControlTokens.of(tokenizer)
    PromptEncoder(tokenizer).check_ids([0, 5, len(tokenizer) - 3])
    for ids, says in (
        ([5, control.fork], r"is \[Fork\]"),
        ([control.child], r"is \[Child\]"),
        ([len(tokenizer)], f"the model has {len(tokenizer)} tokens"),
        ([-1], "names token -1"),
    ):
        with pytest.raises(RequestError, match=says):
            PromptEncoder(tokenizer).check_ids(ids)
