"""The page and the API documentation, as static files."""

from fastapi import APIRouter, Request, Response

from hannun.web.static_files import REVALIDATED, static_files

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/events/{event_id}")
@router.get("/users/{user_id}")
@router.get("/ops")
async def page(request: Request) -> Response:
    """The page. Its own code selects the view by the address."""
    return await static_files().document("index.html").response(request, REVALIDATED)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API documentation, to read and to try."""
    return await static_files().document("docs.html").response(request, REVALIDATED)
