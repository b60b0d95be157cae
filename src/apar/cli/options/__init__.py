"""Groups of options that several commands share, each with what is built of its values."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from apar.errors import UserError

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order of the help page."""

    def decorate(command: Command) -> Command:
        for option in reversed(decorators):
            command = option(command)
        return command

    return decorate


def gather(keyword: str, build: Callable[..., Any], *decorators: Decorator) -> Decorator:
    """The options as one decorator; the command is called with `keyword=build(...)` in place of their values.

    `build` is called with the values by the options' names, and raises UserError where they do not fit.
    """

    def decorate(command: Command) -> Command:
        names: list[str] = []

        @wraps(command)
        def run(*args: Any, **values: Any) -> Any:
            built = build(**{name: values.pop(name) for name in names})
            return command(*args, **{keyword: built}, **values)

        before = len(_parameters(command))
        decorated = options(*decorators)(run)
        names += [parameter.name or "" for parameter in _parameters(decorated)[before:] if parameter.expose_value]
        return decorated

    return decorate


def count_option(*names: str, help: str, default: int | None = None, least: int = 1) -> Decorator:
    """An option whose value is a whole number of at least `least`; the help page shows its default, if it has one."""
    kind = click.IntRange(min=least)
    return click.option(*names, type=kind, default=default, show_default=default is not None, metavar="N", help=help)


def renamed_option(old: str, new: str) -> Decorator:
    """An option that is not there any more: whoever gives it is answered with the new name."""

    def refuse(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise UserError(f"{old} is now {new}; write {new} {value}")

    name = "renamed" + old.replace("-", "_")  # not that of the option in its place
    return click.option(old, name, hidden=True, expose_value=False, is_eager=True, callback=refuse)


def _parameters(command: Command) -> list[click.Parameter]:
    return getattr(command, "__click_params__", [])
