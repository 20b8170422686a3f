from __future__ import annotations

from pathlib import Path

import pytest

from aisa.cli import seller_run
from aisa.cli.seller_folder import ensure_seller_seed, seller_files, trusted_hubs, x402_offers
from aisa.errors import ConfigInvalid

HUB = '[[node]]\nurl = "http://127.0.0.1:9"\nnetwork = "aisa:x"\n'


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    files = seller_files(tmp_path)
    seed = ensure_seller_seed(files)
    assert ensure_seller_seed(files) == seed
    assert files.key.stat().st_mode & 0o777 == 0o600
    files.key.write_text("no key")
    with pytest.raises(ConfigInvalid, match="not a seller's key"):
        ensure_seller_seed(files)


def test_the_nodes_are_read(tmp_path: Path) -> None:
    files = seller_files(tmp_path)
    files.folder.mkdir()
    files.config.write_text(HUB + "fee_ppm_max = 5\nunredeemed_cap = 7\n")
    (hub,) = trusted_hubs(files, None)
    assert (hub.url, hub.network, hub.fee_ppm_max, hub.unredeemed_cap) == (
        "http://127.0.0.1:9",
        "aisa:x",
        5,
        7,
    )
    # Nobody answers there: the list is used as it is.
    assert trusted_hubs(files, "http://127.0.0.1:1") == [hub]


@pytest.mark.parametrize(
    "text",
    ["", "=", "node = 3", "[[node]]\nurl = 'http://x'", HUB + "fee_ppm_max = 'much'", "node = [1]"],
)
def test_a_list_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    files = seller_files(tmp_path)
    files.folder.mkdir()
    files.config.write_text(text)
    with pytest.raises(ConfigInvalid):
        trusted_hubs(files, None)


def test_a_limit_with_a_slip_in_its_name_is_told(tmp_path: Path) -> None:
    files = seller_files(tmp_path)
    files.folder.mkdir()
    files.config.write_text(HUB + "unredeemed_cab = 7\n")
    with pytest.raises(ConfigInvalid, match="no setting 'unredeemed_cab'") as caught:
        trusted_hubs(files, None)
    assert "unredeemed_cap" in caught.value.hint


def test_without_a_seller_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        trusted_hubs(seller_files(tmp_path), None)
    assert "aisa seller init" in caught.value.hint


@pytest.mark.parametrize("path", ["no.such.module:app", "aisa.demo.port:nothing", ":", ""])
def test_an_application_that_is_not_there_is_told(path: str) -> None:
    with pytest.raises(ConfigInvalid):
        seller_run.load_app(path)


OFFER = """
[[x402]]
network = "eip155:31337"
asset = "0x2279B7A0a67DB372996a5FaB50D91eAA73d2eBe6"
decimals = 6
domain_name = "test-USDC"
domain_version = "2"
pay_to = "0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"
facilitators = ["http://127.0.0.1:8401/x402"]
keeps_keys = true
"""


def test_the_tokens_that_are_taken_are_read(tmp_path: Path) -> None:
    files = seller_files(tmp_path)
    files.folder.mkdir(parents=True)
    files.config.write_text(OFFER)
    (offer,) = x402_offers(files)
    assert (offer.network, offer.decimals, offer.method) == ("eip155:31337", 6, "eip3009")
    (facilitator,) = offer.trusted()
    assert (facilitator.url, facilitator.keeps_keys) == ("http://127.0.0.1:8401/x402", True)
    files.config.write_text("")
    assert x402_offers(files) == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[x402]]", "[x402]", "list of tables"),
        ("decimals = 6", "", "lacks decimals"),
        ("decimals = 6", 'decimals = "6"', "decimals of"),
        ("pay_to = ", "payto = ", "no setting 'payto'"),
        ('["http://127.0.0.1:8401/x402"]', '"http://127.0.0.1:8401/x402"', "list of URLs"),
    ],
)
def test_a_token_that_is_written_wrong_is_named(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    files = seller_files(tmp_path)
    files.folder.mkdir(parents=True)
    files.config.write_text(OFFER.replace(old, new))
    with pytest.raises(ConfigInvalid, match=said):
        x402_offers(files)
