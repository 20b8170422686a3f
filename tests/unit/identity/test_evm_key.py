"""EVM keys sign what eth-account signs, and recover only what cannot be bent."""

from __future__ import annotations

import subprocess
import sys

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from aisa.errors import ConfigInvalid, ExtraMissing, MalformedMessage, SignatureInvalid
from aisa.identity import evm_key
from aisa.identity.evm_key import (
    EvmKey,
    format_address,
    is_evm_signature,
    parse_address,
    recover,
)
from aisa.protocol import keccak
from aisa.protocol.keccak import keccak_256

SEED = bytes(range(1, 33))
DIGEST = keccak_256(b"something to sign")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_the_first_account_of_every_devnet() -> None:
    key = EvmKey(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
    assert format_address(key.address) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_address_and_signature_are_those_of_eth_account(seed: bytes, digest: bytes) -> None:
    if not 0 < int.from_bytes(seed) < ORDER:
        seed = SEED
    key, oracle = EvmKey(seed), Account.from_key(seed)
    assert format_address(key.address) == oracle.address
    signature = key.sign(digest)
    assert signature == bytes(oracle.unsafe_sign_hash(digest).signature)
    assert recover(digest, signature) == key.address


def test_a_signature_is_one_accounts_over_one_digest() -> None:
    key = EvmKey(SEED)
    signature = key.sign(DIGEST)
    assert is_evm_signature(key.address, DIGEST, signature)
    assert not is_evm_signature(key.address, keccak_256(b"another"), signature)
    assert not is_evm_signature(EvmKey(SEED[::-1]).address, DIGEST, signature)
    assert not is_evm_signature(key.address, DIGEST, signature[:-1])


def test_a_signature_cannot_be_bent() -> None:
    key = EvmKey(SEED)
    signature = key.sign(DIGEST)
    r, s, v = signature[:32], int.from_bytes(signature[32:64]), signature[64]
    twin = r + (ORDER - s).to_bytes(32) + bytes((55 - v,))
    # The chain's own recovery accepts the twin, which is why it must be refused here.
    oracle = Account._recover_hash(DIGEST, vrs=(twin[64], int.from_bytes(r), ORDER - s))
    assert parse_address(oracle) == key.address
    with pytest.raises(SignatureInvalid, match="lower half"):
        recover(DIGEST, twin)
    for odd in (0, 1, 26, 29, 255):
        with pytest.raises(SignatureInvalid, match="27 or 28"):
            recover(DIGEST, signature[:64] + bytes((odd,)))


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64) + b"\x1b",
        b"\xff" * 32 + bytes(31) + b"\1\x1b",
        ORDER.to_bytes(32) + bytes(31) + b"\1\x1c",
        bytes(32) + bytes(31) + b"\1\x1c",
        b"",
        bytes(65),
    ],
)
def test_what_no_key_made_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        recover(DIGEST, signature)


def test_a_digest_has_32_bytes() -> None:
    with pytest.raises(SignatureInvalid, match="32"):
        EvmKey(SEED).sign(b"short")
    with pytest.raises(SignatureInvalid, match="32"):
        recover(b"short", EvmKey(SEED).sign(DIGEST))


@pytest.mark.parametrize("seed", [b"short", bytes(32), ORDER.to_bytes(32), b"\xff" * 32])
def test_a_seed_is_the_number_of_a_key(seed: bytes) -> None:
    with pytest.raises(ConfigInvalid):
        EvmKey(seed)


def test_a_secret_is_not_in_a_repr() -> None:
    assert SEED.hex() not in repr(EvmKey(SEED))
    assert "0x" in repr(EvmKey(SEED))


def test_an_address_shows_a_typing_error() -> None:
    text = format_address(EvmKey(SEED).address)
    assert parse_address(text) == parse_address(text.lower()) == EvmKey(SEED).address
    assert parse_address("0x" + text[2:].upper()) == EvmKey(SEED).address
    with pytest.raises(MalformedMessage, match="payTo has a wrong checksum"):
        parse_address(text[:2] + text[2:].swapcase(), "payTo")
    for broken in ("", "0x", text[2:], text[:-1], text + "0", "0x" + "g" * 40, text[:-1] + "\n"):
        with pytest.raises(MalformedMessage):
            parse_address(broken)
    with pytest.raises(MalformedMessage):
        format_address(b"short")


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, load in (("coincurve", evm_key._coincurve), ("sha3", keccak._hash)):
        load.cache_clear()
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ExtraMissing) as caught:
            EvmKey(SEED)
        assert caught.value.hint == "pip install 'aisa-node[evm]'"
        monkeypatch.undo()
        load.cache_clear()


def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, aisa.identity, aisa.channel.payee, aisa.channel.payer, aisa.protocol.x402,"
        "aisa.protocol.mpp; assert not {'coincurve', 'sha3', 'eth_account'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
