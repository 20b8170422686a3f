"""Keys and names: who signs, who is who.

Everything above asks the `Signer` port to sign and never sees a private key.
"""

from aisa.identity.agent_id import agent_id, key_of_agent_id
from aisa.identity.derivation import derive_seed
from aisa.identity.evm_key import EvmKey, EvmSigner
from aisa.identity.exchange import ExchangeKey, SessionKeys
from aisa.identity.keyfile import read_key_file, write_key_file
from aisa.identity.signer import Signer, SigningKey, verify_signature

__all__ = [
    "EvmKey",
    "EvmSigner",
    "ExchangeKey",
    "SessionKeys",
    "Signer",
    "SigningKey",
    "agent_id",
    "derive_seed",
    "key_of_agent_id",
    "read_key_file",
    "verify_signature",
    "write_key_file",
]
