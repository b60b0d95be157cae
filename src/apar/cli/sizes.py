"""Sizes in bytes as options: `--max-body 4MiB`."""

from __future__ import annotations

from typing import Any

import click

from apar.errors import RequestError
from apar.sizes import parse_bytes


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(value, "it")
        except RequestError as error:
            self.fail(str(error), param, ctx)


SIZE = _Size()
