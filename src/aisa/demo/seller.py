"""A seller of something real: the ECB's reference rates since 1999, a hundredth of a cent each.

`aisa seller up aisa.demo.seller:create_app` puts the paywall before it.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from aisa.demo.rates import RateBook
from aisa.errors import NotFound
from aisa.paywall import paid
from aisa.protocol.problem import CONTENT_TYPE, problem_of

PRICE: Final = "0.0001 aiUSD"


def create_app() -> FastAPI:
    """Return the seller's application; loading the rates takes a moment."""
    book = RateBook()
    app = FastAPI(title="ECB reference rates", docs_url=None, redoc_url=None)

    @app.get("/rates/{currency}/{day}")
    @paid(PRICE, description="an ECB reference rate")
    async def rate(currency: str, day: date) -> dict[str, str]:
        found = book.rate(currency.upper(), day)
        return {
            "currency": found.currency,
            "date": found.date.isoformat(),
            "published": found.published.isoformat(),
            "rate": str(found.rate),
        }

    @app.get("/currencies")
    async def currencies() -> dict[str, list[str]]:
        return {"currencies": book.currencies}

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    async def not_found(request: object, error: Exception) -> JSONResponse:
        del request
        assert isinstance(error, NotFound)
        problem = problem_of(error)
        return JSONResponse(
            {"type": problem.type, "title": problem.title, "detail": problem.detail, "status": 404},
            404,
            media_type=CONTENT_TYPE,
        )

    app.add_exception_handler(NotFound, not_found)
    _ = (rate, currencies, health)
    return app
