"""Everything that a part imports, for the process that the parts are forked from."""

from __future__ import annotations

import uvloop

import aisa.cli.application
import aisa.cli.node_run
import aisa.cli.seller_run
import aisa.devnet.solana.__main__
import aisa.node.run
import aisa.sdk
import tests.drills.agent
import tests.drills.seller

_ = (aisa, tests, uvloop)
