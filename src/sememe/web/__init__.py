"""The local web page: search with explanations, the atoms, their atlas, the collection's card."""

from sememe.extras import require

for _module in ("fastapi", "jinja2", "uvicorn"):
    require(_module, "web")

from sememe.web.app import create_app  # noqa: E402
from sememe.web.serving import serve  # noqa: E402

__all__ = ["create_app", "serve"]
