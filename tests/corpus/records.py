"""Records of invented answers: lists, lists within lists, a story, and parts that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apar.data.formats import Chat
from apar.data.raw import SourceLocation
from apar.data.records import TreeRecord
from apar.structure.extract import extract

FORKING = (
    "Three ways to keep a garden alive:\n\n"
    "1. **Water:** give it in the early morning, when the ground is cool and little of it dries up at once.\n"
    "2. **Shade:** a light cloth over young plants keeps the hardest hours of the sun from their leaves.\n"
    "3. **Soil:** compost holds what the rain brings and feeds the roots through the whole of the summer.\n"
)
NESTED = (
    "1. **Kitchen:** most of the work is done in this room, so begin with it:\n"
    "   - **Stove:** wipe the plates while they are warm, and leave the grates in soapy water over night.\n"
    "   - **Sink:** soda and hot water open a slow drain, and a cork keeps small spoons from it.\n"
    "2. **Bedroom:** open the windows for ten minutes in the morning, before the bed is made.\n"
    "3. **Hall:** shoes stand on a mat that can be shaken out, and coats hang where air comes to them.\n"
)
STORY = (
    "The old man rowed out before dawn. He had caught nothing for many days, and his hands were stiff.\n\n"
    "Then the line went tight. He held on to it with both hands, and the boat was drawn out to sea.\n\n"
    "After that he did not sleep. The stars came out one by one, and he talked to the fish until morning.\n"
)
REFUSED = (
    "1. **Plan:** write down what the journey costs and how many days there are for it in all.\n"
    "2. **Bake:** the dough is made like this:\n"
    "   1. Mix: stir the flour and the water together until nothing is dry any more.\n"
    "   2. Then rest: after that leave it under a cloth until it has become twice as large.\n"
    "   3. Then bake: after that put it into the hot oven for the better part of an hour.\n"
    "3. **Pack:** shoes go to the bottom of the bag and everything that breaks into the middle.\n"
)
CHINESE = (
    "学习一门语言有三个好方法：\n\n"
    "1. **阅读**：每天读一点自己喜欢的书，遇到不认识的词先猜意思，读完一章以后再查词典。\n"
    "2. **听力**：走路或者做饭的时候听广播，不必每句都听懂，耳朵会慢慢习惯它的节奏和语调。\n"
    "3. **写作**：晚上用几句话写下当天的事情，请朋友帮忙改正，一个月以后再回头看进步。\n"
)


def record(answer: str, source: str = "invented", identity: str = "", **extra: Any) -> TreeRecord:
    """The record of an answer, as an extraction makes it."""
    messages = ({"role": "user", "content": "What is there to say?"},)
    location = SourceLocation(Path("chats.jsonl"), 1)
    chat = Chat(identity or f"{source}-{len(answer)}", source, messages, answer, "jsonl messages", location, extra)
    return TreeRecord.of(chat, extract(answer))
