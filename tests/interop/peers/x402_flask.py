"""The official x402 middleware for Flask, over the sync facilitator client."""

from __future__ import annotations

import logging

from flask import Flask
from line import SETTINGS, listener, sale, serve
from werkzeug.serving import make_server
from x402 import x402ResourceServerSync
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync
from x402.http.middleware.flask import PaymentMiddleware
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementChannelManagerSync,
    ChannelManagerConfigSync,
)
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402_channels import channel_scheme, manager_config
from x402_routes import route_table


def build() -> Flask:
    exact = HTTPFacilitatorClientSync(FacilitatorConfig(url=SETTINGS["facilitator"]))
    channels = HTTPFacilitatorClientSync(FacilitatorConfig(url=SETTINGS["channel_facilitator"]))
    # The first that serves a scheme is asked.
    server = x402ResourceServerSync([channels, exact])
    register_exact_evm_server(server, SETTINGS["network"])
    app = Flask(__name__)
    scheme = channel_scheme()
    server.register(SETTINGS["network"], scheme)
    settings = ChannelManagerConfigSync(**manager_config(scheme, channels))
    manager = BatchSettlementChannelManagerSync(settings)
    app.add_url_rule("/claim", "claim", lambda: str(manager.claim_and_settle()))
    for route in SETTINGS["routes"]:
        path = route["path"]
        app.add_url_rule(path, path, sale)
    PaymentMiddleware(app, route_table(), server)
    return app


logging.getLogger("werkzeug").setLevel(logging.WARNING)
listening = listener()
flask = make_server("127.0.0.1", 0, build(), threaded=True, fd=listening.fileno())
serve(listening)
flask.serve_forever()
