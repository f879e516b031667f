"""The page and its few files over HTTP: `/`, `/static/...`, `/config.json`, `/health`.

Files are read once, at the start: what is served cannot be reached by a path, and a
program that was replaced under a running process serves no mixture.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from api.page_headers import security_headers, websocket_urls
from runtime.http_headers import host_of

_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def load_assets() -> Mapping[str, tuple[bytes, str]]:
    """Every file of api/static by name, with its media type."""
    found = {}
    for file in files("api").joinpath("static").iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _MEDIA_TYPES:
            found[file.name] = (file.read_bytes(), _MEDIA_TYPES[suffix])
    return found


def make_app(gateway_ports: Sequence[int], scheme: str = "ws") -> FastAPI:
    """The application; `gateway_ports` are the websocket ports on the host the page was asked from, `scheme` is theirs."""
    assets = load_assets()
    app = FastAPI(title="parvis", openapi_url=None, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def fence(request: Request, call_next: RequestResponseEndpoint) -> Response:
        host = host_of(request.headers.get("host", ""))
        if host is None:
            return Response("This Host header names no host.\n", status_code=400, media_type="text/plain")
        urls = websocket_urls(host, gateway_ports, secure=scheme == "wss" or request.url.scheme == "https")
        request.state.websocket_urls = urls
        response = await call_next(request)
        response.headers.update(security_headers(urls))
        return response

    def asset(name: str) -> Response:
        if name not in assets:
            return Response("There is no such file.\n", status_code=404, media_type="text/plain")
        body, media_type = assets[name]
        return Response(body, media_type=media_type)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return asset("index.html")

    @app.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(name: str) -> Response:
        return asset(name)

    @app.get("/config.json")
    async def config(request: Request) -> dict[str, list[str]]:
        """Where a browser finds the gateways."""
        return {"websocket_urls": request.state.websocket_urls}

    @app.get("/health")
    async def health() -> dict[str, str]:
        """That this process answers; what the cluster is like is the admin port's business."""
        return {"status": "ok"}

    return app
