"""The routes for people: the page, and the description of the API. Nothing is fetched from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

from apar.server.errors import ApiError

READ = ["GET", "HEAD"]
_PAGE = Path(__file__).parents[1] / "page"
# Swagger UI, which FastAPI itself would fetch from elsewhere.
_DOCS_FILES = Path(str(files("fastapi_offline"))) / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
_DOCS_HEADERS = {
    **_HEADERS,
    "content-security-policy": _POLICY.replace("style-src 'self'", "style-src 'unsafe-inline' 'self'"),
}
_DOCS = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>APAR: the API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/page/icon.svg">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/page/docs.js"></script>
</body>
</html>
"""


def page_routes() -> APIRouter:
    """Routes that want no API key."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=READ)
    async def index() -> Response:
        return _file(_PAGE, "index.html")

    @router.get("/page/{name}")
    async def page(name: str) -> Response:
        return _file(_PAGE, name)

    @router.api_route("/docs", methods=READ)
    async def docs() -> Response:
        return HTMLResponse(_DOCS, headers=_DOCS_HEADERS)

    @router.get("/docs/{name}")
    async def docs_file(name: str) -> Response:
        return _file(_DOCS_FILES, name)

    return router


def _file(folder: Path, name: str) -> Response:
    found = _found(folder, name)
    return FileResponse(found, media_type=_TYPES.get(found.suffix), headers=_HEADERS)


def _found(folder: Path, name: str) -> Path:
    """A file that lies in the folder itself; raises ApiError 404 for any other name."""
    for file in folder.iterdir():
        if file.name == name and file.is_file():
            return file
    raise ApiError(404, f"there is no file {name[:200]!r}", code="not_found")
