"""Every call to the escrow, compared with the compiled contract and with another ABI encoder."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import eth_abi
import pytest

import aisa
from aisa.errors import MalformedMessage
from aisa.protocol.escrow import ChannelConfig
from aisa.protocol.keccak import keccak_256
from aisa.protocol.permit2 import Permit, TokenPermission
from aisa.protocol.x402.batch import Claim
from aisa.protocol.x402.batch_payload import DepositWitness, Eip3009Deposit, Permit2Deposit
from aisa.settlement.evm import escrow_abi as abi
from aisa.settlement.evm.escrow_settings import own_code_hash

FOLDER = Path(aisa.__file__).parent / "settlement" / "evm" / "artifacts"
ARTIFACT = json.loads((FOLDER / "ChannelEscrow.json").read_text())
SELECTORS = {value: name for name, value in ARTIFACT["method_identifiers"].items()}
CONFIG = ChannelConfig(*(bytes([n]) * 20 for n in range(1, 6)), 86_400, b"\x07" * 32)
ADDRESS = b"\xab" * 20
WORD = b"\xcd" * 32
BIG = 2**128 - 1


def told(config: ChannelConfig) -> tuple[Any, ...]:
    addresses = config.payer, config.payer_authorizer, config.receiver
    more = config.receiver_authorizer, config.token
    return (*(_hex(one) for one in (*addresses, *more)), config.withdraw_delay_s, config.salt)


def row(claim: Claim) -> tuple[Any, ...]:
    return ((told(claim.config), claim.ceiling), claim.signature, claim.claimed)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def claims(count: int, size: int = 65) -> list[Claim]:
    return [Claim(_salted(n), BIG - n, secrets.token_bytes(size), n) for n in range(count)]


def _salted(n: int) -> ChannelConfig:
    return ChannelConfig(*(bytes([k]) * 20 for k in range(1, 6)), 900 + n, n.to_bytes(32))


def encoded(signature: str, *values: Any) -> bytes:
    """What eth-abi makes of a call that the compiled contract has."""
    selector = ARTIFACT["method_identifiers"][signature]
    kinds = signature[signature.index("(") :]
    return bytes.fromhex(selector) + eth_abi.encode([kinds], [values])[_skip(kinds) :]


def _skip(kinds: str) -> int:
    # A dynamic tuple begins with its own offset, which a call does not have.
    return 32 if "bytes)" in kinds or kinds.endswith("[])") or "bytes," in kinds else 0


def named(start: str) -> str:
    (found,) = [name for name in ARTIFACT["method_identifiers"] if name.startswith(start + "(")]
    return found


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 65, 200])
def test_a_deposit(size: int) -> None:
    piece = secrets.token_bytes(size)
    ours = abi.deposit_data(CONFIG, BIG, ADDRESS, piece)
    assert ours == encoded(named("deposit"), told(CONFIG), BIG, _hex(ADDRESS), piece)


@pytest.mark.parametrize("count", [1, 2, 10, 50])
@pytest.mark.parametrize("size", [0, 64, 65, 161])
def test_claims(count: int, size: int) -> None:
    rows = claims(count, size)
    assert abi.claim_data(rows) == encoded(named("claim"), [row(one) for one in rows])
    signature = secrets.token_bytes(65)
    ours = abi.signed_claim_data(rows, signature)
    assert ours == encoded(named("claimWithSignature"), [row(one) for one in rows], signature)


def test_all_other_calls() -> None:
    signature = secrets.token_bytes(65)
    pairs = {
        abi.settle_data(ADDRESS, ADDRESS): ("settle", _hex(ADDRESS), _hex(ADDRESS)),
        abi.refund_data(CONFIG, 5): ("refund", told(CONFIG), 5),
        abi.signed_refund_data(CONFIG, 5, 2**255, signature): (
            *("refundWithSignature", told(CONFIG), 5, 2**255, signature),
        ),
        abi.begin_withdrawal_data(CONFIG, 5): ("initiateWithdraw", told(CONFIG), 5),
        abi.end_withdrawal_data(CONFIG): ("finalizeWithdraw", told(CONFIG)),
        abi.channel_data(WORD): ("channels", WORD),
        abi.pending_data(WORD): ("pendingWithdrawals", WORD),
        abi.refund_nonce_data(WORD): ("refundNonce", WORD),
        abi.receiver_data(ADDRESS, ADDRESS): ("receivers", _hex(ADDRESS), _hex(ADDRESS)),
        abi.channel_id_data(CONFIG): ("getChannelId", told(CONFIG)),
        abi.voucher_digest_data(WORD, 9): ("getVoucherDigest", WORD, 9),
    }
    for ours, (name, *values) in pairs.items():
        assert ours == encoded(named(name), *values), name
        assert SELECTORS[ours[:4].hex()].startswith(name + "(")


def test_what_is_for_collectors_and_tokens() -> None:
    signed = Eip3009Deposit(1, 2**256 - 1, WORD, secrets.token_bytes(65))
    salt = int.from_bytes(WORD)
    kinds = ["uint256", "uint256", "uint256", "bytes"]
    assert abi.eip3009_piece(signed) == eth_abi.encode(
        kinds, [1, 2**256 - 1, salt, signed.signature]
    )
    permit = Permit2Deposit(
        *(ADDRESS, TokenPermission(ADDRESS, 5), Permit(ADDRESS, 7, 8)),
        *(DepositWitness(WORD), secrets.token_bytes(65)),
    )
    kinds = ["uint256", "uint256", "bytes", "bytes"]
    assert abi.permit2_piece(permit) == eth_abi.encode(kinds, [7, 8, permit.signature, b""])
    valid = eth_abi.encode(["bytes32", "bytes"], [WORD, b"\x01" * 65])
    assert abi.valid_signature_data(WORD, b"\x01" * 65) == bytes.fromhex("1626ba7e") + valid
    assert abi.approve_data(ADDRESS, 5)[:4].hex() == "095ea7b3"
    assert abi.allowance_data(ADDRESS, ADDRESS)[:4].hex() == "dd62ed3e"


def test_the_events_of_the_compiled_contract() -> None:
    (event,) = [one for one in ARTIFACT["abi"] if one.get("name") == "WithdrawInitiated"]
    text = f"WithdrawInitiated({','.join(one['type'] for one in event['inputs'])})"
    assert "0x" + keccak_256(text.encode()).hex() == abi.WITHDRAW_INITIATED_TOPIC
    assert [one["indexed"] for one in event["inputs"]] == [True, False, False]


@pytest.mark.parametrize("units", [-1, 2**128])
def test_what_does_not_fit_is_refused(units: int) -> None:
    with pytest.raises(MalformedMessage):
        abi.deposit_data(CONFIG, units, ADDRESS, b"")
    with pytest.raises(MalformedMessage):
        abi.claim_data([Claim(CONFIG, 5, b"", units)])
    with pytest.raises(MalformedMessage):
        abi.refund_data(CONFIG, units)


def test_our_code_has_no_part_that_differs_by_place() -> None:
    assert not ARTIFACT["immutable_spans"]
    assert len(own_code_hash()) == 32
