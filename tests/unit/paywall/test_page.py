"""The page for a person says what it costs, and never runs what somebody else wrote."""

from __future__ import annotations

import re
import shlex
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aisa.money import AIUSD, Amount
from aisa.paywall.page import page, wants_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Tags(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(body: bytes) -> Tags:
    tags = Tags()
    tags.feed(body.decode())
    return tags


@pytest.mark.parametrize(
    ("method", "accept", "wanted"),
    [
        ("GET", BROWSER, True),
        ("HEAD", "text/html", True),
        ("GET", "application/json, TEXT/HTML;q=0.5", True),
        ("GET", "text/html;q=0", False),
        ("GET", "text/html;q=0.000, */*", False),
        ("GET", "application/json", False),
        ("GET", "*/*", False),
        ("GET", None, False),
        ("POST", BROWSER, False),
    ],
)
def test_only_a_browser_gets_the_page(method: str, accept: str | None, wanted: bool) -> None:
    assert wants_page(method, accept) is wanted


def test_it_says_what_a_call_costs_and_how_to_pay() -> None:
    body = page(
        "https://api.example/rates?day=1",
        Amount(100, AIUSD),
        is_most=False,
        description="an ECB reference rate",
        payee=bytes(32),
    )
    text = read(body).text
    assert "0.0001 aiUSD" in text
    assert "An ECB reference rate." in text
    assert "aisa pay 'https://api.example/rates?day=1'" in text
    assert "agent.get('https://api.example/rates?day=1')" in text


def test_a_price_that_may_be_lower_is_said_so() -> None:
    body = page("https://a.example/", Amount(5, AIUSD), is_most=True, description="", payee=b"")
    assert "at most 0.000005 aiUSD" in read(body).text


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_in_it_stays_text(path: str, description: str) -> None:
    plain = read(
        page("https://a.example/", Amount(5, AIUSD), is_most=False, description="", payee=b"")
    )
    url = "https://a.example/" + path + "</code><script>alert(1)</script>'\"&"
    body = page(url, Amount(5, AIUSD), is_most=False, description=description, payee=b"")
    assert read(body).tags == plain.tags
    (command,) = re.findall(r"aisa pay (.*?)</code>", body.decode(), re.DOTALL)
    assert shlex.split(unescape(command)) == [url], "one word of a shell"
