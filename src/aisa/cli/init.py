"""`aisa init`: a home for an agent on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aisa.cli.command import Command, Session
from aisa.cli.report import Report
from aisa.errors import StateConflict

_CONFIG = """\
# An agent's settings. Amounts are texts such as "0.10 aiUSD".

[agent]
{node}
# deposit_max = "1 aiUSD"

[agent.budget]
per_call = "0.10 aiUSD"
per_day = "10 aiUSD"
# per_seller = "5 aiUSD"
"""


@click.command("init", cls=Command)
@click.option("--node", "node", metavar="URL", help="The node to keep money at.")
@click.option("--devnet", is_flag=True, help="Also make a node for the devnet of this machine.")
@click.pass_obj
def command(session: Session, *, node: str | None, devnet: bool) -> Report:
    """Make the home: the agent's key, its configuration and budget; what exists is kept."""
    from aisa.identity import SigningKey, agent_id
    from aisa.sdk.home import ensure_agent_seed

    home = session.make_home()
    home.chmod(0o700)
    seed = ensure_agent_seed(home)
    is_new = _write_config(home / "config.toml", node)
    document: dict[str, object] = {
        "home": str(home),
        "agent": agent_id(SigningKey(seed).public_key),
        "config": str(home / "config.toml"),
        "new": is_new,
    }
    lines = [f"home {home}", f"agent {document['agent']}", f"settings {document['config']}"]
    if devnet:
        from aisa.cli.node_init import make_node

        made = make_node(home, devnet=True, passphrase_file=None)
        document["node"] = made.network
        lines += [f"node {made.network}", "start everything: aisa devnet up --seller"]
    else:
        lines.append("put money in: aisa wallet fund")
    return Report(document, lines)


def _write_config(path: Path, node: str | None) -> bool:
    """Write the settings unless they are there; whether they are new.

    Raises:
        StateConflict: they are there, and name another node.
    """
    line = '# node = "http://127.0.0.1:8401"' if node is None else f"node = {json.dumps(node)}"
    if node is not None:
        from aisa.client import origin_of

        origin_of(node)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_CONFIG.format(node=line))
    except FileExistsError:
        if node is not None and line not in path.read_text(encoding="utf-8"):
            raise StateConflict(
                f"{path} exists already", hint=f"write {line} below [agent] yourself"
            ) from None
        return False
    return True
