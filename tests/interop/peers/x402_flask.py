"""The official x402 middleware for Flask, over the sync facilitator client."""

from __future__ import annotations

import logging

from flask import Flask
from line import SETTINGS, listener, sale, serve
from werkzeug.serving import make_server
from x402 import x402ResourceServerSync
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync
from x402.http.middleware.flask import PaymentMiddleware
from x402.mechanisms.evm.exact import register_exact_evm_server
from x402_routes import route_table


def build() -> Flask:
    facilitator = HTTPFacilitatorClientSync(FacilitatorConfig(url=SETTINGS["facilitator"]))
    server = register_exact_evm_server(x402ResourceServerSync(facilitator), SETTINGS["network"])
    app = Flask(__name__)
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
