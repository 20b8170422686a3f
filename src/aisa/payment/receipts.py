"""Receipts: the node's signed word that an entry is in its ledger."""

from __future__ import annotations

from dataclasses import replace

from aisa.client.message import TransferReceipt
from aisa.errors import NotFound
from aisa.identity import Signer
from aisa.ledger.store import Store
from aisa.payment import names
from aisa.protocol.aip import hub_network


class Receipts:
    """Signs what the ledger says, for the accounts that took part."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self._store = store
        self._signer = signer
        self._network = hub_network(signer.public_key)

    async def of(self, key: bytes, transfer_id: str, currency: str) -> TransferReceipt:
        """Return the receipt of an entry that debited or credited this key's account.

        Raises:
            NotFound: there is none; another's entry looks the same.
        """
        account = names.customer(key, currency)
        entry = await self._store.transfer(transfer_id)
        if entry is None or account not in {entry.debit, entry.credit}:
            raise NotFound(f"there is no transfer {transfer_id[:128]!r} of this account")
        unsigned = TransferReceipt(
            network=self._network,
            account=account,
            id=entry.id,
            kind=entry.kind.name.lower(),
            debit=entry.debit,
            credit=entry.credit,
            units=entry.units,
            currency=entry.currency,
            code=entry.code,
            reference=entry.reference,
            at_ms=entry.at_ms,
        )
        return replace(unsigned, signature=self._signer.sign(unsigned.signing_bytes()))
