"""HTTP connections: uvicorn with bounds, its sockets, signals and shutdown."""
