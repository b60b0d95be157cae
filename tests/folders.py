"""Names the folders of the package that have grown too large to overlook. `make check` runs it.

python -m tests.folders
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

MOST_FILES = 20
"""Modules in one folder, `__init__.py` aside. One that has more wants a folder of its own for some of them."""

PACKAGE = Path(__file__).parents[1] / "src" / "apar"


def grown(package: Path, most: int = MOST_FILES) -> list[str]:
    """A line for each folder with more than `most` source files."""
    files = [path for kind in ("py", "js", "cpp") for path in package.rglob(f"*.{kind}") if path.stem != "__init__"]
    counts = Counter(path.parent for path in files)
    return [
        f"{folder.relative_to(package.parent)} has {count} files, and {most} are the most: give some a folder"
        for folder, count in sorted(counts.items())
        if count > most
    ]


def main() -> int:
    lines = grown(PACKAGE)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
