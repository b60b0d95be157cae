"""`apar plot TRACE -o FILE.svg`: draw the threads of an answer over its steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from apar.errors import TreeError, UserError

if TYPE_CHECKING:
    from apar.assemble import Recording


@click.command("plot")
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Where to write the picture.  [default: standard output]",
)
@click.option("--title", default="", metavar="TEXT", help="A line above the picture, as the question.")
def command(trace: Path, output: Path | None, title: str) -> None:
    """Draw the threads of TRACE, which `apar generate --trace` wrote, over the steps of decoding (SVG)."""
    from apar.data.files import atomic_write
    from apar.view.timeline import draw_recording

    picture = draw_recording(_recording(trace), title)
    if output is None:
        click.echo(picture, nl=False)
        return
    with atomic_write(output) as file:
        file.write(picture)
    click.echo(f"wrote {output}", err=True)


def _recording(trace: Path) -> Recording:
    """The recording of a trace; raises UserError with the number of the line that is broken or cannot follow."""
    from apar.assemble import Recording
    from apar.events import read_trace

    recording = Recording()
    for number, event in enumerate(read_trace(trace), 1):
        try:
            recording.add(event)
        except TreeError as error:
            raise UserError(f"{trace}, line {number}: {error}") from error
    if not recording.threads:
        raise UserError(f"the trace {trace} is empty")
    return recording
