from __future__ import annotations

from solders.keypair import Keypair

from aisa.demo.audit import Auditor
from aisa.demo.conservation import Holding, asset_sums
from aisa.devnet.solana.devnet import Devnet


class Chain:
    """A devnet in this process, asked as over its RPC."""

    def __init__(self) -> None:
        self.devnet = Devnet()

    async def call(self, method: str, *params: object) -> object:
        return self.devnet.call(method, *params)

    @property
    def roots(self) -> tuple[str, ...]:
        genesis = self.devnet.genesis
        return (*[str(genesis.keypair(r).pubkey()) for r in ("faucet", "issuer")], self.mint)

    @property
    def mint(self) -> str:
        return self.devnet.genesis.mint_specs()[0].address


def of(role: str, holdings: list[Holding], asset: str) -> int:
    return sum(one.units for one in holdings if one.role == role and one.asset == asset)


async def test_everything_that_moved_is_found_and_adds_up() -> None:
    chain = Chain()
    owner = str(Keypair().pubkey())
    auditor = Auditor(chain, chain.devnet.genesis.network, chain.roots, {owner: "agent"})
    before = await auditor.read()
    assert before.fees == []
    assert before.minted == []

    await chain.call("requestAirdrop", owner, 5_000_000)
    await chain.call("aisa_mint", {"mint": chain.mint, "owner": owner, "units": "777"})
    after = await auditor.read()

    asset = auditor.asset(chain.mint)
    assert of("agent", after.holdings, asset) == 777
    assert of("agent", after.holdings, auditor.native) > 5_000_000  # with its account's rent
    assert len(after.fees) == 2
    sums = asset_sums(
        before.holdings, after.holdings, after.minted, after.fees, native=auditor.native
    )
    assert [(one.asset, one.is_conserved) for one in sums] == [
        (auditor.native, True),
        (asset, True),
    ]


async def test_a_mint_that_nobody_recorded_is_seen() -> None:
    chain = Chain()
    owner = str(Keypair().pubkey())
    auditor = Auditor(chain, chain.devnet.genesis.network, chain.roots)
    before = await auditor.read()
    await chain.call("aisa_mint", {"mint": chain.mint, "owner": owner, "units": "777"})
    chain.devnet.chain.minted.clear()
    after = await auditor.read()
    sums = asset_sums(
        before.holdings, after.holdings, after.minted, after.fees, native=auditor.native
    )
    broken = [one for one in sums if not one.is_conserved]
    assert [(one.asset, one.after - one.minted) for one in broken] == [
        (auditor.asset(chain.mint), 777)
    ]
