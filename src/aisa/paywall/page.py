"""What a person sees who opens a paid URL in a browser: what it costs, and how it is paid.

One page of HTML without scripts, pictures or anything from elsewhere; whatever a client or a seller
wrote is escaped.
"""

from __future__ import annotations

import re
from html import escape
from shlex import quote
from typing import Final

from aisa.money import Amount

_QUALITY: Final = re.compile(r";\s*q=0(\.0{0,3})?\s*(;|\Z)")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Accept"),
    (b"x-content-type-options", b"nosniff"),
)

_HEADERS: Final = (
    "<code>WWW-Authenticate: Payment</code>",
    "<code>PAYMENT-REQUIRED</code> (x402)",
)
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{price} per call</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 40rem; margin: 12vh auto; padding: 0 1.25rem; }}
h1 {{ font-size: 2rem; margin: 0 0 .25rem; }}
pre {{ background: color-mix(in srgb, currentColor 8%, transparent); padding: .75rem 1rem; overflow-x: auto; border-radius: .4rem; }}
dt {{ opacity: .7; }} dd {{ margin: 0 0 .6rem; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>{price}</h1>
<p>{said} This address answers programs that pay for each call; nothing was charged.</p>
<h2>Pay for it from a terminal</h2>
<pre><code>pip install "aisa-node[all]"
aisa pay {command}</code></pre>
<h2>Pay for it from Python</h2>
<pre><code>from aisa.sdk import Agent

with Agent() as agent:
    print(agent.get({python}).text)</code></pre>
<dl>
<dt>Address</dt><dd>{url}</dd>
<dt>Paid to</dt><dd>{payee}</dd>
<dt>Protocols</dt><dd>HTTP 402 with {headers}; send <code>Accept: application/json</code> to read this as a problem</dd>
</dl>
</main>
</body>
</html>
"""


def wants_page(method: str, accept: str | None) -> bool:
    """Whether a request is a browser's, which says that it takes HTML; programs seldom do."""
    if accept is None or method not in {"GET", "HEAD"}:
        return False
    return any(
        part.strip().lower().startswith("text/html") and _QUALITY.search(part) is None
        for part in accept[:1024].split(",")
    )


def page(
    url: str,
    price: Amount,
    *,
    is_most: bool,
    description: str,
    payee: bytes,
    takes_x402: bool = False,
) -> bytes:
    """Return the page; `is_most` says that a call may cost less than `price`."""
    text = f"at most {price}" if is_most else str(price)
    said = f"{description.rstrip('.')}." if description else "One call of an API."
    return _PAGE.format(
        price=escape(text),
        said=escape(said[:1].upper() + said[1:]),
        command=escape(quote(url)),
        python=escape(repr(url)),
        url=escape(url),
        payee=payee.hex(),
        headers=" and ".join(_HEADERS if takes_x402 else _HEADERS[:1]),
    ).encode()
