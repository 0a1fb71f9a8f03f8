"""The page at ``/docs``: Swagger UI over a part's OpenAPI document, for hosts without internet.

Invariants:
- the page and all that it loads come from the part itself: FastAPI's own would take them from a
  CDN; JavaScript, style sheet and icon are those of the package fastapi-offline;
- its policy lets the browser ask nobody else either, since a reader types a token into it;
- who may read it is who may read ``/openapi.json``: anybody, for neither holds data.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

PAGE = "/docs"
ASSETS = f"{PAGE}/assets"
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def add_openapi_page(app: FastAPI) -> None:
    """Serve the page; ``app`` is made without FastAPI's own (``docs_url=None``)."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))

    @app.get(PAGE, response_class=HTMLResponse, include_in_schema=False)
    async def openapi_page() -> HTMLResponse:
        """The calls of this part, to read and to try."""
        page = get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            # Swagger UI would else send the document's address to a validator on the internet.
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.headers["Content-Security-Policy"] = POLICY
        return page
