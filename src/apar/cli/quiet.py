"""Keeping standard error for our own lines."""

from __future__ import annotations

import logging
from typing import Any


def quiet_libraries() -> None:
    """Transformers and the hub client tell nothing but errors; a download keeps its progress bar."""
    from transformers.utils import logging as transformers_logging

    quiet: Any = transformers_logging  # not all of it is typed
    quiet.disable_progress_bar()  # of reading a file; downloads keep theirs
    for name in ("transformers", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
