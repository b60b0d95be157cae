"""Any server with OpenAI's streamed completions: prompts and answers are texts, no token ids are needed."""

from apar.backends.completions.engine import CompletionsBackend

__all__ = ["CompletionsBackend"]
