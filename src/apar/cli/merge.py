"""`apar merge MODEL -o FOLDER`: write a model as an ordinary folder, its adapter merged."""

from __future__ import annotations

from pathlib import Path

import click

from apar.extras import require


@click.command("merge")
@click.argument("model")
@click.option("--adapter", metavar="FOLDER", help="Merge this LoRA adapter into the model: its folder or hub id.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="A new folder for the model.",
)
@click.option(
    "--dtype",
    default="bfloat16",
    show_default=True,
    metavar="TYPE",
    help="Type of the weights: float32, bfloat16 or float16.",
)
def command(model: str, adapter: str | None, output: Path, dtype: str) -> None:
    """Write MODEL as an ordinary folder that vLLM and other programs load, with its adapter merged.

    MODEL is a folder, a GGUF file, a hub id, or `demo`. The weights of a GGUF file become plain numbers.
    """
    require("local", "torch", "transformers")
    from rich.console import Console

    from apar.cli.answering import quiet_libraries, spinner
    from apar.sizes import show_bytes

    with spinner(model, Console(stderr=True)):
        from apar.models.merged_folder import write_merged

        quiet_libraries()
        write_merged(model, output, adapter, dtype)
    size = sum(file.stat().st_size for file in output.iterdir())
    click.echo(f"wrote {output} ({show_bytes(size)}, {dtype})", err=True)
