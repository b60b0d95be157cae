"""What `apar bench` shows on standard error while it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error; what is given is called after each of `total` parts."""
    from rich.console import Console
    from rich.progress import Progress

    # Drawn between the parts and never beside one: a thread that draws takes time from what is timed.
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda: bar.update(task, advance=1, refresh=True)


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """One line on standard error that says what is going on, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    yield lambda line: console.print(f"[dim]{line}", highlight=False) if console.is_terminal else None
