"""What the guide for sellers shows works as it stands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import aisa.paywall
from aisa.paywall import PaywallOptions
from tests.integration.paying import NETWORK, SELLER_SEED, FakeHub, call

DOCS = Path(__file__).parents[2] / "docs"


async def test_the_guide_s_seller_asks_for_payment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "how-to" / "sell-an-api.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELLER_SEED", SELLER_SEED.hex())
    monkeypatch.setenv("NODE_NETWORK", NETWORK)
    monkeypatch.setattr("aisa.paywall.seller.NodeClient", lambda *_, **__: FakeHub())
    names: dict[str, object] = {}
    for block in blocks:
        if "from flask" in block:  # another seller, with an application of its own
            exec(compile(block, "sell-an-api.md", "exec"), {"__name__": "__main__"})
            continue
        exec(compile(block, "sell-an-api.md", "exec"), names)
    app, paywall = names["app"], names["paywall"]
    assert (await call(app, "/rates/EUR")).status == 402  # type: ignore[arg-type]
    await paywall.stop()  # type: ignore[attr-defined]


def test_the_reference_names_every_name_and_option() -> None:
    text = (DOCS / "reference" / "paywall.md").read_text()
    missing = {name for name in aisa.paywall.__all__ if f"`{name}" not in text}
    assert missing <= {"Paid", "Price", "HubClient", "Redeemer"}
    for field in fields(PaywallOptions):
        assert f"`{field.name}`" in text
