"""A facilitator in front of the node's, for tests: it can say that a settlement failed, and settle later."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2


class FacilitatorDesk:
    """Passes everything on to `upstream`; while it `holds`, settlements are kept and said to fail."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.holds = False
        self.kept: list[bytes] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.pass_on(b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if desk.holds and self.path == "/settle":
                    desk.kept.append(body)
                    network = json.loads(body)["paymentRequirements"]["network"]
                    refused = {
                        "success": False,
                        "errorReason": "unexpected_settle_error",
                        "transaction": "",
                        "network": network,
                    }
                    self.reply(200, json.dumps(refused).encode())
                else:
                    self.pass_on(body)

            def pass_on(self, body: bytes) -> None:
                answer = desk.ask(self.command, self.path, body)
                self.reply(answer.status_code, answer.content)

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, method: str, path: str, body: bytes) -> httpx2.Response:
        return httpx2.request(
            method, self.upstream + path, content=body, trust_env=False, timeout=60
        )

    def settle_kept(self) -> int:
        """Carry out what was said to have failed; returns how many settlements succeeded."""
        self.holds, kept, self.kept = False, self.kept, []
        answers = [self.ask("POST", "/settle", body) for body in kept]
        return sum(answer.json()["success"] for answer in answers)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
