"""`apar export`: write Medusa heads as vLLM reads them, or a model as a GGUF file."""

from __future__ import annotations

from pathlib import Path

import click

from apar.errors import UserError
from apar.extras import require


@click.command("export")
@click.argument("names", nargs=-1, required=True, metavar="HEADS MODEL | MODEL")
@click.option("--adapter", metavar="FOLDER", help="Merge this LoRA adapter into the model: its folder or hub id.")
@click.option(
    "--gguf",
    "kind",
    metavar="TYPE",
    help="Write MODEL as a GGUF file, its matrices in Q8_0, Q4_1 or F16.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PLACE",
    help="A new folder for the heads, or with --gguf a new file.",
)
def command(names: tuple[str, ...], adapter: str | None, kind: str | None, output: Path) -> None:
    """Write Medusa HEADS as a folder that vLLM reads, or with --gguf a MODEL as a file that llama.cpp reads.

    HEADS is a folder or hub id, MODEL the model that they were trained on: a folder, a GGUF file, a hub id, or `demo`.
    Heads are written with the output layer that they share with MODEL; a GGUF file has the adapter merged, and the
    control tokens in its vocabulary.
    """
    wanted = ("HEADS", "MODEL") if kind is None else ("MODEL",)
    if len(names) != len(wanted):
        raise UserError(f"name {' and '.join(wanted)}: {len(names)} are given (see apar export --help)")
    require("local", "torch", "transformers")
    if kind is None:
        _export_heads(names[0], names[1], adapter, output)
    else:
        _export_gguf(names[0], adapter, kind.upper(), output)


def _export_heads(heads: str, model: str, adapter: str | None, output: Path) -> None:
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


def _export_gguf(model: str, adapter: str | None, kind: str, output: Path) -> None:
    from rich.console import Console

    from apar.cli.answering import quiet_libraries, spinner
    from apar.sizes import show_bytes

    with spinner(model, Console(stderr=True)):
        from apar.models.gguf_export import write_gguf

        quiet_libraries()
        write_gguf(model, output, kind, adapter)
    click.echo(f"wrote {output} ({show_bytes(output.stat().st_size)}, {kind})", err=True)
