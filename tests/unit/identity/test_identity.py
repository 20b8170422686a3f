"""Keys sign, derive, exchange, and rest encrypted."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from aisa.errors import ConfigInvalid, MalformedMessage, StateConflict
from aisa.identity import (
    ExchangeKey,
    SigningKey,
    agent_id,
    derive_seed,
    key_of_agent_id,
    read_key_file,
    verify_signature,
    write_key_file,
)

SEED = bytes(range(32))


def test_rfc_8032_test_1() -> None:
    key = SigningKey(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert (
        key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")


def test_a_signature_is_one_keys_over_one_message() -> None:
    key = SigningKey(SEED)
    signature = key.sign(b"message")
    assert verify_signature(key.public_key, b"message", signature)
    assert not verify_signature(key.public_key, b"another", signature)
    assert not verify_signature(SigningKey(SEED[::-1]).public_key, b"message", signature)
    assert not verify_signature(key.public_key, b"message", signature[:-1])
    assert not verify_signature(b"short", b"message", signature)


def test_a_secret_is_not_in_a_repr() -> None:
    keys = ExchangeKey(SEED).session_keys(ExchangeKey(SEED[::-1]).public_key, bytes(32))
    assert SEED.hex() not in repr(SigningKey(SEED)) + repr(ExchangeKey(SEED))
    assert keys.tick.hex() not in repr(keys)
    assert str(keys.tick) not in repr(keys)


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(ConfigInvalid):
        SigningKey(b"short")


def test_both_ends_of_a_session_derive_the_same_keys() -> None:
    payer, payee = ExchangeKey(SEED), ExchangeKey(SEED[::-1])
    assert payer.session_keys(payee.public_key, b"h" * 32) == payee.session_keys(
        payer.public_key, b"h" * 32
    )
    assert payer.session_keys(payee.public_key, b"h" * 32) != payer.session_keys(
        payee.public_key, b"g" * 32
    )


def test_a_key_without_a_shared_secret_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        ExchangeKey(SEED).session_keys(bytes(32), bytes(32))


def test_children_differ_by_purpose_and_context() -> None:
    children = {
        derive_seed(SEED, "payer", "n", b"a"),
        derive_seed(SEED, "payer", "n", b"b"),
        derive_seed(SEED, "payer", "na", b""),
        derive_seed(SEED, "account", "n", b"a"),
        derive_seed(SEED[::-1], "payer", "n", b"a"),
    }
    assert len(children) == 5
    assert derive_seed(SEED, "payer", "n") == derive_seed(SEED, "payer", "n")


def test_an_agent_id_is_the_did_of_its_key() -> None:
    key = SigningKey(SEED).public_key
    assert agent_id(key).startswith("did:key:z6Mk")
    assert key_of_agent_id(agent_id(key)) == key


@pytest.mark.parametrize(
    "text", ["", "did:key:z", "did:key:z0", "did:web:x", "did:key:z6Mk", "did:key:z" + "1" * 40]
)
def test_another_text_is_no_agent_id(text: str) -> None:
    with pytest.raises(MalformedMessage):
        key_of_agent_id(text)


def test_a_key_file_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "agent.key"
    public = SigningKey(SEED).public_key
    write_key_file(path, SEED, public, "correct horse")
    assert read_key_file(path, "correct horse") == SEED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SEED.hex() not in path.read_text()
    with pytest.raises(ConfigInvalid, match="passphrase"):
        read_key_file(path, "wrong")


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    public = SigningKey(SEED).public_key
    write_key_file(path, SEED, public, "one")
    with pytest.raises(StateConflict):
        write_key_file(path, SEED[::-1], public, "two")
    assert read_key_file(path, "one") == SEED
    assert [file.name for file in tmp_path.iterdir()] == ["agent.key"]


def test_a_key_file_with_another_public_key_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "agent.key"
    public, other = SigningKey(SEED).public_key, SigningKey(SEED[::-1]).public_key
    write_key_file(path, SEED, public, "pass")
    path.write_text(path.read_text().replace(public.hex(), other.hex()))
    with pytest.raises(ConfigInvalid):
        read_key_file(path, "pass")


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense", '{"format":"aisa-key/2"}'])
def test_another_file_is_no_key_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "agent.key"
    path.write_text(content)
    with pytest.raises(ConfigInvalid):
        read_key_file(path, "pass")
    with pytest.raises(ConfigInvalid, match="aisa init"):
        read_key_file(tmp_path / "absent.key", "pass")


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        write_key_file(tmp_path / "agent.key", SEED, SigningKey(SEED).public_key, "")
