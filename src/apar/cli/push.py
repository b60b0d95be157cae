"""`apar push FOLDER REPOSITORY`: put what a training left on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

import click

from apar.errors import ModelError, RunError, UserError

_MARKS = ("adapter_config.json", "config.json")
_LEFT_OUT = ["checkpoints/*", "samples-*/*", "tokenizer-*/*", "*.log", "training_args.bin", "optimizer.pt"]


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--revision", metavar="BRANCH", help="The branch to write to.  [default: main]")
@click.option("--message", default="Upload by apar push", show_default=True, metavar="TEXT", help="Of the commit.")
def command(folder: Path, repository: str, private: bool, revision: str | None, message: str) -> None:
    """Put FOLDER, an adapter, heads or a model with its card, on the Hugging Face hub as OWNER/NAME.

    Needs a token that may write: `hf auth login`, or $HF_TOKEN. Prints the address of the commit.
    """
    from apar.extras import require

    require("local", "huggingface_hub")
    _check(folder, repository)
    click.echo(_upload(folder, repository, private, revision, message))


def _check(folder: Path, repository: str) -> None:
    if not any((folder / mark).is_file() for mark in _MARKS):
        raise ModelError(f"the folder {folder} holds no adapter, heads or model: it has no {' or '.join(_MARKS)}")
    if not (folder / "README.md").is_file():
        raise UserError(f"{folder} has no README.md: write a card that says what it is, and what it was trained on")
    if repository.count("/") != 1:
        raise UserError(f"{repository!r} is no repository of the hub; it must be OWNER/NAME")


def _upload(folder: Path, repository: str, private: bool, revision: str | None, message: str) -> str:
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    hub = HfApi()
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            ignore_patterns=_LEFT_OUT,
        )
    except HFValidationError as error:
        raise UserError(f"the hub refuses the name {repository}: {_line(error)}") from error
    except (HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OSError) as error:
        raise RunError(f"cannot push {folder} to {repository}: {_line(error)}; see `hf auth login`") from error
    return str(done.commit_url)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
