"""Why an answer does not fork by its form: the reasons of extraction, and one that is told from the prompt."""

from __future__ import annotations

from typing import Literal

from apar.structure.labels import Reason

WhyNot = Reason | Literal["prose"]
"""The reasons of extraction (`apar.structure.labels`), and `prose`: a text is asked for whose lines go on."""
