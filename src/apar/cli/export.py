"""`apar export HEADS MODEL -o FOLDER`: write Medusa heads as vLLM reads them."""

from __future__ import annotations

from pathlib import Path

import click

from apar.extras import require


@click.command("export")
@click.argument("heads")
@click.argument("model")
@click.option("--adapter", metavar="FOLDER", help="Merge this LoRA adapter into the model: its folder or hub id.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="A new folder for the heads.",
)
def command(heads: str, model: str, adapter: str | None, output: Path) -> None:
    """Write Medusa HEADS as a folder that vLLM reads, with the output layer that they share with MODEL.

    HEADS is a folder or hub id, MODEL the model that they were trained on: a folder, a GGUF file, a hub id, or `demo`.
    """
    require("local", "torch", "transformers")
    from rich.console import Console

    from apar.cli.answering import quiet_libraries, spinner
    from apar.models.model_source import model_source
    from apar.sizes import show_bytes

    source = model_source(model, adapter)
    with spinner(model, Console(stderr=True)):
        from apar.models.heads_for_vllm import write_for_vllm

        quiet_libraries()
        write_for_vllm(heads, source, output)
    size = sum(file.stat().st_size for file in output.iterdir())
    click.echo(f"wrote {output} ({show_bytes(size)}, bfloat16)", err=True)
