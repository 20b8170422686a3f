"""Meeting a seller: its offer is checked, its key pinned, and a node chosen that both know."""

from __future__ import annotations

from aisa.channel.payer_offer import check_offer, common_hub
from aisa.client import NodeInfo, calls
from aisa.errors import AisaError, ConfigInvalid, NoCommonNode, NodeUnavailable, OriginRefused
from aisa.money import currency_by_code
from aisa.protocol import base64url
from aisa.protocol.aip import SessionRequest, hub_network
from aisa.sdk.call import Call
from aisa.sdk.exchange import offer_in
from aisa.sdk.purse import KnownNode, Purse, Route, Seller
from aisa.sdk.step import Dance, Reply, ask, exclusively, run


def meet(purse: Purse, call: Call, reply: Reply) -> Dance[Route]:
    """Learn from a 402 what the call costs and whom it pays.

    Raises:
        PaymentRequired: there is no offer that we know.
        NoCommonNode: the seller accepts none of the agent's own nodes.
        OriginRefused: the offer points elsewhere, or the seller's key is not the pinned one.
    """
    place = call.place
    offer = offer_in(reply)
    check_offer(offer, origin=place.origin, now_s=purse.clock() // 1000)
    seller = purse.sellers.get((place.origin, offer.payee, offer.currency))
    if seller is None:
        seller = yield from _new_seller(purse, place.origin, offer)
    seller.offer = offer
    return purse.learn(call.method, place.origin, place.path, seller, offer.amount)


def _new_seller(purse: Purse, origin: str, offer: SessionRequest) -> Dance[Seller]:
    pinned = yield from run(lambda: purse.wallet.pin_payee(origin, offer.payee))
    if pinned != offer.payee:
        raise OriginRefused(
            f"{origin} is paid by another key than before",
            hint="if the seller has told you so, accept it with agent.accept_payee(url)",
            pinned=base64url.encode(pinned),
            offered=base64url.encode(offer.payee),
        )
    nodes = yield from known_nodes(purse)
    hub = common_hub(offer.hubs, nodes)
    currency = currency_by_code(offer.currency)
    _check_node(nodes[hub.network].info, offer.currency, currency.scale, hub.fee_ppm_max)
    key = (origin, offer.payee, offer.currency)
    known = purse.sellers.get(key)
    if known is not None:
        return known
    limits = purse.settings.budget.limits(offer.currency)
    seller = Seller(origin, offer, hub.network, hub.fee_ppm_max, currency, limits)
    purse.sellers[key] = seller
    return seller


def _check_node(info: NodeInfo, code: str, scale: int, fee_ppm_max: int) -> None:
    kept = info.currency(code)
    if kept is None or kept.scale != scale:
        raise NoCommonNode(f"the node that both know does not keep {code}")
    if kept.fee_ppm > fee_ppm_max:
        raise NoCommonNode(
            f"the node takes {kept.fee_ppm} ppm of {code}, the seller accepts {fee_ppm_max}"
        )


def known_nodes(purse: Purse) -> Dance[dict[str, KnownNode]]:
    """Return the agent's own nodes by network, asking each once who it is.

    Raises:
        NodeUnavailable: none of them answers.
        ConfigInvalid: no node is configured and none can be started.
    """
    return (yield from exclusively("nodes", _learn_nodes(purse)))


def _learn_nodes(purse: Purse) -> Dance[dict[str, KnownNode]]:
    urls = yield from run(purse.nodes)
    known_urls = {node.url for node in purse.known_nodes.values()}
    fault: AisaError | None = None
    for url in urls:
        if url in known_urls:
            continue
        try:
            info = yield from ask(url, None, calls.info())
        except NodeUnavailable as error:
            fault = fault or error
            continue
        if info.network != hub_network(info.node_key):
            raise ConfigInvalid(f"the node at {url} names a network that is not its key's")
        signer = purse.account_key(info.network)
        purse.known_nodes[info.network] = KnownNode(url, info, signer)
    if fault is not None and not purse.known_nodes:
        raise fault
    return purse.known_nodes
