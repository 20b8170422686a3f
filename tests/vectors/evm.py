"""AISA's own vectors for EVM networks: typed data and payloads, from fixed seeds."""

from __future__ import annotations

import hashlib
from typing import Any

from aisa.identity.evm_key import EvmKey
from aisa.protocol.eip712 import Domain
from aisa.protocol.evm_address import format_address
from aisa.protocol.evm_authorization import Allowance, Authorization
from aisa.protocol.mpp import evm_charge, evm_charge_payload, evm_session, evm_session_payload
from aisa.protocol.permit2 import Permit, TokenPermission
from aisa.protocol.x402 import attestation, batch, batch_payload, exact

CHAIN = 31_337
NETWORK = f"eip155:{CHAIN}"
AT = 1_795_309_432
URL = "https://api.example/rates?day=1"


def seed(name: str) -> bytes:
    return hashlib.sha256(f"aisa evm vector {name}".encode()).digest()


def address(name: str) -> bytes:
    return EvmKey(seed(name)).address


PAYER, VOUCHERS = EvmKey(seed("payer")), EvmKey(seed("vouchers"))
TOKEN, SELLER, ESCROW = (address(name) for name in ("token", "seller", "escrow"))
TOKEN_DOMAIN = Domain("AISA USD", "1", CHAIN, TOKEN)
ESCROW_DOMAIN = batch.batch_domain(CHAIN, ESCROW)
SESSION_DOMAIN = evm_session.session_domain(CHAIN, ESCROW)
CONFIG = batch.ChannelConfig(
    PAYER.address,
    VOUCHERS.address,
    SELLER,
    address("receiver authorizer"),
    TOKEN,
    900,
    seed("salt"),
)
CHANNEL = CONFIG.channel_id(ESCROW_DOMAIN)
MOVE = Authorization(PAYER.address, SELLER, 100, 0, AT, seed("nonce"))
ALLOWED = Allowance(PAYER.address, ESCROW, 2**256 - 1, 7, AT)
PERMITTED = TokenPermission(TOKEN, 100)
NUMBER = int.from_bytes(seed("nonce"))
CHALLENGE = evm_charge.challenge_hash("id-0001", "api.example")
OFFER = attestation.OfferTerms(
    URL, "exact", NETWORK, format_address(TOKEN), format_address(SELLER), "100", AT
)
RECEIPT = attestation.ReceiptTerms(NETWORK, URL, format_address(PAYER.address), AT, "")
SESSION = evm_session.SessionChannel(PAYER.address, SELLER, TOKEN, seed("salt"), VOUCHERS.address)
SESSION_ID = SESSION.channel_id(CHAIN, ESCROW)


def signed_voucher(ceiling: int) -> batch.BatchVoucher:
    digest = batch.voucher_digest(ESCROW_DOMAIN, CHANNEL, ceiling)
    return batch.BatchVoucher(CHANNEL, ceiling, VOUCHERS.sign(digest))


def claims() -> tuple[batch.Claim, ...]:
    return tuple(batch.Claim(CONFIG, 4200, signed_voucher(4200).signature, n) for n in (4200, 17))


def digests() -> dict[str, tuple[str, bytes]]:
    """Return every digest by what it is, and the account that signs it."""
    exact_witness = exact.TransferWitness(SELLER, 0)
    upto_witness = exact.TransferWitness(SELLER, 0, address("facilitator"))
    deposit = batch_payload.DepositWitness(CHANNEL)
    paid = evm_charge_payload.PaymentWitness(CHALLENGE)
    permit2 = exact.permit2_domain(CHAIN)
    collector = batch.PERMIT2_COLLECTOR

    def permit(spender: bytes, witness: Any) -> bytes:
        return permit2.digest(Permit(spender, NUMBER, AT).transfer_hash(PERMITTED, witness))

    several = Permit(SELLER, NUMBER, AT).batch_hash((PERMITTED, PERMITTED), paid)
    return {
        "x402 ChannelConfig": ("", CHANNEL),
        "x402 Voucher": ("vouchers", signed_voucher(4200).digest(ESCROW_DOMAIN)),
        "x402 Refund": ("payer", batch.refund_digest(ESCROW_DOMAIN, CHANNEL, 3, 17)),
        "x402 ClaimBatch": ("payer", batch.claims_digest(ESCROW_DOMAIN, claims())),
        "EIP-3009 transfer": ("payer", TOKEN_DOMAIN.digest(MOVE.transfer_hash())),
        "EIP-3009 receive": ("payer", TOKEN_DOMAIN.digest(MOVE.receive_hash())),
        "EIP-2612 Permit": ("payer", TOKEN_DOMAIN.digest(ALLOWED.permit_hash())),
        "Permit2, x402 exact": ("payer", permit(exact.EXACT_PROXY, exact_witness)),
        "Permit2, x402 upto": ("payer", permit(exact.UPTO_PROXY, upto_witness)),
        "Permit2, x402 deposit": ("payer", permit(collector, deposit)),
        "Permit2, MPP charge": ("payer", permit(SELLER, paid)),
        "Permit2, MPP charge with a split": ("payer", permit2.digest(several)),
        "MPP session Voucher": (
            "vouchers",
            evm_session.session_voucher_digest(SESSION_DOMAIN, SESSION_ID, 4200),
        ),
        "x402 Offer": ("payer", OFFER.digest()),
        "x402 Receipt": ("payer", RECEIPT.digest()),
    }


def charge_payloads() -> list[evm_charge_payload.ChargePayload]:
    split = address("split")
    signature = PAYER.sign(seed("any digest"))
    return [
        evm_charge_payload.AuthorizationPayload(MOVE, signature),
        evm_charge_payload.PermitPayload(
            (PERMITTED, TokenPermission(TOKEN, 5)),
            ((SELLER, 100), (split, 5)),
            NUMBER,
            AT,
            evm_charge_payload.PaymentWitness(CHALLENGE),
            signature,
        ),
        evm_charge_payload.TransactionPayload(b"\x02" + seed("transaction") * 4),
        evm_charge_payload.HashPayload(seed("transaction")),
    ]


def session_payloads() -> list[evm_session_payload.SessionPayload]:
    signature = VOUCHERS.sign(seed("any digest"))
    granted = evm_session_payload.Granted(MOVE, signature)
    sent = evm_session_payload.Sent(seed("transaction"))
    salt, key = seed("salt"), VOUCHERS.address
    deposits = (
        None,
        evm_session_payload.Deposit(granted),
        evm_session_payload.Deposit(granted, salt),
        evm_session_payload.Deposit(granted, salt, key),
    )
    return [
        evm_session_payload.SessionOpen(SESSION_ID, salt, sent, 0, signature),
        evm_session_payload.SessionOpen(SESSION_ID, salt, granted, 5, signature, key),
        evm_session_payload.SessionTopUp(SESSION_ID, 1000, sent),
        evm_session_payload.SessionTopUp(SESSION_ID, 1000, granted),
        *(evm_session_payload.SessionVoucher(SESSION_ID, 4200, signature, one) for one in deposits),
        evm_session_payload.SessionClose(SESSION_ID, 4200, signature),
    ]


def charge_requests() -> list[evm_charge.ChargeRequest]:
    return [
        evm_charge.ChargeRequest(100, TOKEN, SELLER, CHAIN, ("authorization", "hash"), 6),
        evm_charge.ChargeRequest(
            1_050,
            TOKEN,
            SELLER,
            CHAIN,
            ("permit2",),
            permit2=exact.permit2_domain(CHAIN).contract,
            spender=SELLER,
            splits=(
                evm_charge.Split(address("split"), 50, "platform fee"),
                evm_charge.Split(PAYER.address, 1),
            ),
            description="One rate",
            external_id="order-1",
        ),
        evm_charge.ChargeRequest(0, TOKEN, SELLER, CHAIN),
    ]


def session_requests() -> list[evm_session.EvmSessionRequest]:
    return [
        evm_session.EvmSessionRequest(100, TOKEN, SELLER, CHAIN, ESCROW),
        evm_session.EvmSessionRequest(
            100,
            TOKEN,
            SELLER,
            CHAIN,
            ESCROW,
            unit_type="llm_token",
            suggested_deposit=5_000_000,
            channel=SESSION_ID,
            voucher_step_min=10_000,
            fee_payer=True,
            splits=(evm_session.ShareSplit(address("split"), 500, "platform fee"),),
            description="Tokens",
            external_id="order-1",
        ),
    ]


def _described(one: Any, text: bytes) -> dict[str, Any]:
    return {"description": type(one).__name__, "json": text.decode()}


def typed_document() -> dict[str, Any]:
    names = {"payer": PAYER, "vouchers": VOUCHERS}
    return {
        "description": "typed data of EVM networks: digests, and their signatures",
        "seeds": {name: seed(name).hex() for name in names},
        "accounts": {name: format_address(key.address) for name, key in names.items()},
        "chain_id": CHAIN,
        "cases": [
            {
                "description": description,
                "digest": digest.hex(),
                "signer": signer,
                "signature": names[signer].sign(digest).hex() if signer else "",
            }
            for description, (signer, digest) in digests().items()
        ],
    }


def mpp_document() -> dict[str, Any]:
    charge, session = evm_charge_payload.format_charge, evm_session_payload.format_session
    return {
        "description": "MPP method evm: requests and payloads in canonical JSON",
        "session_channel": SESSION_ID.hex(),
        "charge_requests": [_described(one, one.format()) for one in charge_requests()],
        "charge_payloads": [_described(one, charge(one)) for one in charge_payloads()],
        "session_requests": [_described(one, one.format()) for one in session_requests()],
        "session_payloads": [_described(one, session(one)) for one in session_payloads()],
    }


def documents() -> dict[str, dict[str, Any]]:
    """Return every file's content by its name."""
    return {"evm_typed.json": typed_document(), "mpp_evm.json": mpp_document()}
