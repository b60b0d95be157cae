"""The server: OpenAI's API over any backend, and the page that shows threads."""
