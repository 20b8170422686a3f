"""A chain in a file, so that a devnet can be stopped and started with its balances equal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from aisa.devnet.solana.blocks import Clock, Era
from aisa.devnet.solana.chain import Chain, Minted
from aisa.devnet.solana.genesis import Genesis
from aisa.devnet.solana.history import Landed
from aisa.errors import ConfigInvalid

_FORMAT = 1
_SYSVAR_OWNER = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")


@dataclass(frozen=True, slots=True)
class SavedAccount:
    """One account; programs and sysvars are not saved, the VM brings its own."""

    address: str
    lamports: int
    owner: str
    data: bytes
    rent_epoch: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a chain needs to go on; chain txs held back by a `delay` fault are lost."""

    format: int
    seed: str
    era: Era
    accounts: list[SavedAccount]
    history: list[Landed]
    minted: list[Minted]


def save(chain: Chain, path: Path) -> None:
    """Write the chain to a file, whole or not at all."""
    state = State(
        format=_FORMAT,
        seed=chain.genesis.seed,
        era=chain.blocks.era,
        accounts=_accounts(chain),
        history=list(chain.history.all()),
        minted=chain.minted,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def restore(genesis: Genesis, path: Path, *, clock: Clock) -> Chain:
    """A chain that goes on from a file; one that starts anew if there is none.

    Raises:
        ConfigInvalid: the file is not a state of this devnet.
    """
    if not path.exists():
        return Chain(genesis, clock=clock)
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as error:
        raise ConfigInvalid(
            f"{path} is not a saved devnet", hint="move it away to start anew"
        ) from error
    if state.format != _FORMAT or state.seed != genesis.seed:
        raise ConfigInvalid(
            f"{path} is of a devnet with seed {state.seed!r}, format {state.format}",
            hint="give its seed, or move the file away",
        )
    chain = Chain(genesis, clock=clock, era=state.era)
    for saved in state.accounts:
        account = Account(
            saved.lamports,
            saved.data,
            Pubkey.from_string(saved.owner),
            executable=False,
            rent_epoch=saved.rent_epoch,
        )
        chain.set_account(Pubkey.from_string(saved.address), account)
    for landed in state.history:
        chain.history.add(landed)
    chain.minted.extend(state.minted)
    return chain


def _accounts(chain: Chain) -> list[SavedAccount]:
    saved: list[SavedAccount] = []
    for key in sorted(chain.touched, key=str):
        account = chain.svm.get_account(key)
        if account is None or account.executable or account.owner == _SYSVAR_OWNER:
            continue
        one = SavedAccount(
            str(key), account.lamports, str(account.owner), account.data, account.rent_epoch
        )
        saved.append(one)
    return saved
