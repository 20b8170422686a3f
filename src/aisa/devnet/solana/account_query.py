"""RPC methods that read accounts, balances and tokens; all commitments see the newest state."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from solders.account import Account
from solders.pubkey import Pubkey
from solders.token import ID as TOKEN_PROGRAM
from solders.token.state import Mint, TokenAccount

from aisa.devnet.solana import base58
from aisa.devnet.solana.balance import MINT_BYTES, TOKEN_ACCOUNT_BYTES, token_amount
from aisa.devnet.solana.chain import Chain
from aisa.devnet.solana.genesis import LABEL
from aisa.devnet.solana.params import INVALID_PARAMS, Options, Params, RpcRefusal, parse_address
from aisa.devnet.solana.parsed import parsed_account

_ACCOUNTS_MAX = 100
_BASE58_BYTES_MAX = 128
API_VERSION = "4.0.0"


def with_context(chain: Chain, value: object, level: str = "processed") -> dict[str, object]:
    """An answer with the slot that it speaks of."""
    slot = chain.slot_at(level)
    return {"context": {"slot": slot, "apiVersion": API_VERSION}, "value": value}


def account_json(chain: Chain, account: Account | None, options: Options) -> object:
    """An account in the encoding asked for; None for one that does not exist."""
    if account is None or account.lamports == 0:
        return None
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": _data_json(chain, account, options),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def get_account_info(chain: Chain, params: Params) -> object:
    """`getAccountInfo`."""
    options = params.options(1)
    account = chain.svm.get_account(params.address(0))
    return with_context(chain, account_json(chain, account, options), options.commitment())


def get_multiple_accounts(chain: Chain, params: Params) -> object:
    """`getMultipleAccounts`."""
    options = params.options(1)
    addresses = params.texts(0, "pubkeys", most=_ACCOUNTS_MAX)
    accounts = [chain.svm.get_account(parse_address(text)) for text in addresses]
    value = [account_json(chain, account, options) for account in accounts]
    return with_context(chain, value, options.commitment())


def get_balance(chain: Chain, params: Params) -> object:
    """`getBalance`."""
    lamports = chain.svm.get_balance(params.address(0)) or 0
    return with_context(chain, lamports, params.options(1).commitment())


def get_program_accounts(chain: Chain, params: Params) -> object:
    """`getProgramAccounts`, with dataSize and memcmp filters."""
    options = params.options(1)
    found = [
        (key, account)
        for key, account in chain.svm.get_program_accounts(params.address(0))
        if all(_passes(account, one) for one in options.items("filters"))
    ]
    rows = _keyed(chain, found, options)
    return with_context(chain, rows) if options.flag("withContext") else rows


def get_token_accounts_by_owner(chain: Chain, params: Params) -> object:
    """`getTokenAccountsByOwner`, by mint or by program."""
    owner = params.address(0)
    wanted, options = params.options(1), params.options(2)
    mint, program = wanted.text("mint"), wanted.text("programId")
    if not mint and not program:
        raise RpcRefusal(INVALID_PARAMS, "Invalid params: a mint or a programId is needed")
    program_id = parse_address(program) if program else TOKEN_PROGRAM
    found = [
        (key, account)
        for key, account in chain.svm.get_program_accounts(program_id)
        if len(account.data) == TOKEN_ACCOUNT_BYTES
        and account.data[32:64] == bytes(owner)
        and (not mint or account.data[:32] == bytes(parse_address(mint)))
    ]
    return with_context(chain, _keyed(chain, found, options), options.commitment())


def get_token_account_balance(chain: Chain, params: Params) -> object:
    """`getTokenAccountBalance`."""
    account = chain.svm.get_account(params.address(0))
    if account is None or account.owner != TOKEN_PROGRAM:
        raise RpcRefusal(INVALID_PARAMS, "Invalid param: could not find account")
    if len(account.data) != TOKEN_ACCOUNT_BYTES:
        raise RpcRefusal(INVALID_PARAMS, "Invalid param: not a Token account")
    token = TokenAccount.from_bytes(account.data)
    return with_context(chain, token_amount(token.amount, _mint(chain, token.mint).decimals))


def get_token_supply(chain: Chain, params: Params) -> object:
    """`getTokenSupply`."""
    mint = _mint(chain, params.address(0))
    return with_context(chain, token_amount(mint.supply, mint.decimals))


def get_minimum_balance(chain: Chain, params: Params) -> object:
    """`getMinimumBalanceForRentExemption`."""
    return chain.svm.minimum_balance_for_rent_exemption(params.whole(0, "dataLength"))


def aisa_mints(chain: Chain, params: Params) -> object:
    """`aisa_mints`: every making of tokens on record, and each mint's supply."""
    del params
    return {
        "label": LABEL,
        "network": chain.genesis.network,
        "mints": [
            {
                "symbol": spec.symbol,
                "mint": spec.address,
                "asset": chain.genesis.asset(spec.address),
                "scale": spec.scale,
                "issuer": str(chain.genesis.keypair("issuer").pubkey()),
                "supply": str(_mint(chain, Pubkey.from_string(spec.address)).supply),
            }
            for spec in chain.genesis.mint_specs()
        ],
        "minted": [
            {
                "mint": one.mint,
                "owner": one.owner,
                "account": one.account,
                "units": str(one.units),
                "signature": one.signature,
            }
            for one in chain.minted
        ],
    }


def _mint(chain: Chain, address: Pubkey) -> Mint:
    account = chain.svm.get_account(address)
    if account is None or account.owner != TOKEN_PROGRAM or len(account.data) != MINT_BYTES:
        raise RpcRefusal(INVALID_PARAMS, "Invalid param: not a Token mint")
    return Mint.from_bytes(account.data)


def _keyed(
    chain: Chain, found: Sequence[tuple[Pubkey, Account]], options: Options
) -> list[dict[str, object]]:
    return [
        {"pubkey": str(key), "account": account_json(chain, account, options)}
        for key, account in found
    ]


def _passes(account: Account, item: object) -> bool:
    if not isinstance(item, dict):
        raise RpcRefusal(INVALID_PARAMS, "Invalid params: a filter must be an object")
    rule = Options({str(name): value for name, value in item.items()})  # type: ignore[misc]
    size = rule.whole("dataSize")
    if size is not None:
        return len(account.data) == size
    compare = rule.inside("memcmp")
    at, text = compare.whole("offset") or 0, compare.text("bytes")
    is_base64 = compare.text("encoding") == "base64"
    wanted = base64.b64decode(text) if is_base64 else base58.decode(text)
    return account.data[at : at + len(wanted)] == wanted


def _data_json(chain: Chain, account: Account, options: Options) -> object:
    encoding = options.text("encoding", "base58")
    if encoding == "jsonParsed":
        parsed = parsed_account(chain.svm, account)
        if parsed is not None:
            return parsed
        encoding = "base64"
    data = account.data
    piece = options.inside("dataSlice")
    at, length = piece.whole("offset"), piece.whole("length")
    if length is not None:
        data = data[at or 0 : (at or 0) + length]
    if encoding == "base64":
        return [base64.b64encode(data).decode(), "base64"]
    if encoding != "base58":
        raise RpcRefusal(INVALID_PARAMS, f"Invalid params: encoding {encoding!r} is not served")
    if len(data) > _BASE58_BYTES_MAX:
        message = "Encoded binary (base 58) data should be less than 128 bytes, use Base64 encoding"
        raise RpcRefusal(-32600, message)
    return [base58.encode(data), "base58"] if options.text("encoding") else base58.encode(data)
