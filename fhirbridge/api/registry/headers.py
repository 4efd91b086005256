"""Headers of every answer: what a browser may not do with it, and which other sites' pages may read it (CORS)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from flask import Response, request

_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_EXPOSED = "Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate, X-Progress, X-Request-Id"
_TAKEN = "Accept, Authorization, Content-Type, If-Modified-Since, If-None-Match, Prefer, X-Request-Id"
_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_KEPT_SECONDS = "600"


def headers(base: str, origins: Collection[str]) -> Callable[[Response], Response]:
    """Return what adds the headers; ``origins`` are those of the pages that may read answers, ``*`` for all."""
    secure = dict(_SAFE)
    if urlsplit(base).scheme == "https":
        secure["Strict-Transport-Security"] = "max-age=31536000"

    def added(answer: Response) -> Response:
        there = {name.lower() for name, _ in answer.headers}
        answer.headers.extend([(name, value) for name, value in secure.items() if name.lower() not in there])
        origin = request.environ.get("HTTP_ORIGIN")
        if origins:
            answer.vary.add("Origin")
        if origin and ("*" in origins or origin in origins):
            answer.headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
            answer.headers["Access-Control-Expose-Headers"] = _EXPOSED
            if request.method == "OPTIONS":
                answer.headers["Access-Control-Allow-Methods"] = _METHODS
                answer.headers["Access-Control-Allow-Headers"] = _TAKEN
                answer.headers["Access-Control-Max-Age"] = _KEPT_SECONDS
        return answer

    return added
