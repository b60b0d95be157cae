"""Files of chats to extract from."""

from __future__ import annotations

import json
import random
from pathlib import Path

TOPICS = ("tea", "bread", "roofs", "trains", "gardens", "clocks", "rivers", "maps", "bees", "salt")


def answer(topic: str, number: int) -> str:
    """An answer that forks: a list on a topic."""
    return (
        f"Some words on {topic}, number {number}:\n\n1. Making {topic}: it takes time, care and {number} hands\n"
        f"2. Keeping {topic}: a cool place of {number} feet is best for it\n"
        f"3. Selling {topic}: {number} coins is fair\n"
    )


def write_chats(path: Path, number: int, seed: int = 0) -> Path:
    """`number` chats, structured and not, some of them broken or the same as others."""
    chance = random.Random(seed)
    lines = []
    for k in range(number):
        topic = chance.choice(TOPICS)
        kind = chance.randrange(10)
        response = answer(topic, chance.randrange(10**6)) if kind < 6 else f"There is no more {topic} in town {k}."
        record = {"id": f"{path.stem}-{k}", "prompt": f"What of {topic} {k}?", "response": response}
        record |= {"license": "MIT", "source": "towns"}
        lines.append("{" if kind == 9 else json.dumps(record))
        if kind == 8:
            lines.append(json.dumps({**record, "id": f"{path.stem}-{k}-again"}))
    path.write_text("\n".join(lines) + "\n")
    return path
