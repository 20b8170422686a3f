"""A seller: one paid route, one free one. Nothing here knows about channels, keys or nodes.

aisa seller up examples.weather_seller:app --port 8403
"""

from fastapi import FastAPI

from aisa.paywall import paid

app = FastAPI()


@app.get("/forecast/{city}")
@paid("0.0001 aiUSD", description="tomorrow's weather")
async def forecast(city: str) -> dict[str, str]:
    return {"city": city, "tomorrow": "mostly paid, later free"}


@app.get("/healthz")
async def health() -> dict[str, str]:
    return {"status": "ok"}
