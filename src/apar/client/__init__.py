"""Asking servers with OpenAI's API over HTTP: chats, completions of token ids, and plain questions."""
