"""Running this home's node in the foreground."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from aisa.cli.command import Session
from aisa.cli.node_folder import node_files
from aisa.cli.node_init import ask_passphrase
from aisa.cli.service import Service, forget_service, write_service
from aisa.node.assemble import treasuries
from aisa.node.config import load_config
from aisa.node.initialise import init_node
from aisa.node.key import open_seed
from aisa.node.run import Listening, run


def run_node(session: Session, on_ready: Callable[[Service], None]) -> None:
    """Run the node until SIGTERM or Ctrl-C; where there is none, a plain one is made.

    Raises:
        ConfigInvalid: a setting or the passphrase is wrong.
        FileOwned: another node uses the ledger.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    files = node_files(session.home)
    if not files.config.exists():
        init_node(files.folder)
    config = load_config(files.config, os.environ)
    seed = open_seed(config, ask_passphrase)

    def tell(listening: Listening) -> None:
        addresses = tuple(address for _, address in treasuries(config, seed))
        service = Service.of_this_process(
            listening.url, network=listening.network, treasuries=addresses
        )
        write_service(files.process, service)
        on_ready(service)

    try:
        run(config, seed, on_ready=tell)
    finally:
        forget_service(files.process)
