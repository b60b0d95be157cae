"""The routes: OpenAI's API, operations, and the static files."""
