"""What the drills' seller sells: the SHA-256 of a name, so that everyone knows the right answer."""

from __future__ import annotations

import hashlib

from fastapi import FastAPI

from aisa.paywall import paid

PRICE_UNITS = 1_000
APP = "tests.drills.seller:create_app"


def answer_of(name: str) -> str:
    return hashlib.sha256(f"drill {name}".encode()).hexdigest()


def create_app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/hash/{name}")
    @paid("0.001 aiUSD")
    async def hash_of(name: str) -> dict[str, str]:
        return {"hash": answer_of(name)}

    _ = hash_of
    return app
