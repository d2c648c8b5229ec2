"""The page and the API documentation, as static files."""

from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import FileResponse

router = APIRouter(include_in_schema=False)
_STATIC = Path(__file__).parent / "static"
_INDEX, _DOCS = _STATIC / "index.html", _STATIC / "docs.html"


@router.get("/")
@router.get("/events/{event_id}")
@router.get("/users/{user_id}")
async def page() -> Response:
    """The page. Its own code selects the view by the address."""
    return FileResponse(_INDEX, headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def docs() -> Response:
    """The API documentation, to read and to try."""
    return FileResponse(_DOCS, headers={"Cache-Control": "no-cache"})
