"""The wallet file's tables."""

from __future__ import annotations

from typing import Final

VERSION: Final = 3
TRANSFERS: Final = """
CREATE TABLE transfers (
  nonce BLOB PRIMARY KEY,
  call_id TEXT NOT NULL,
  method TEXT NOT NULL, url TEXT NOT NULL, digest BLOB NOT NULL,
  asset TEXT NOT NULL, payee BLOB NOT NULL, currency TEXT NOT NULL,
  units INTEGER NOT NULL, expiry INTEGER NOT NULL, body BLOB NOT NULL, at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sent', 'held', 'unknown', 'settled', 'failed')),
  chain_tx TEXT NOT NULL, owner TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- A call is paid for by another transfer only once the first is proved never to move.
CREATE UNIQUE INDEX one_transfer ON transfers (call_id) WHERE call_id != '' AND state != 'failed';
CREATE INDEX open_transfers ON transfers (digest) WHERE state IN ('sent', 'held', 'unknown');
"""
STEPS: Final = (
    "",
    "ALTER TABLE channels ADD COLUMN escrow BLOB NOT NULL DEFAULT x'';",
    TRANSFERS,
)
"""What brings a file from the version that is its place here to the next one."""

_SCHEMA_2: Final = """
CREATE TABLE payees (origin TEXT PRIMARY KEY, payee BLOB NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE channels (
  channel BLOB PRIMARY KEY,
  network TEXT NOT NULL, holder BLOB NOT NULL, payer BLOB NOT NULL, payee BLOB NOT NULL,
  currency TEXT NOT NULL, salt BLOB NOT NULL,
  node_url TEXT NOT NULL, account_key BLOB NOT NULL, session_url TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('opening', 'open', 'closing', 'closed')),
  deposit INTEGER NOT NULL, fee_ppm INTEGER NOT NULL, issued INTEGER NOT NULL,
  statement BLOB NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0 CHECK (sent BETWEEN 0 AND signed),
  signed INTEGER NOT NULL DEFAULT 0 CHECK (signed <= deposit),
  next_lane INTEGER NOT NULL DEFAULT 0,
  opened_at_ms INTEGER NOT NULL,
  escrow BLOB NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;
-- A second channel to the same payee opens only once the first is closing.
CREATE UNIQUE INDEX one_channel ON channels (payee, currency, network)
  WHERE state IN ('opening', 'open');

CREATE TABLE sessions (
  session BLOB PRIMARY KEY,
  channel BLOB NOT NULL, seed BLOB NOT NULL,
  payer_x25519 BLOB NOT NULL, payee_x25519 BLOB NOT NULL,
  lane_first INTEGER NOT NULL, lane_count INTEGER NOT NULL, expiry INTEGER NOT NULL,
  owner TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('live', 'parked', 'ended'))
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_channel ON sessions (channel, state);

CREATE TABLE lanes (
  channel BLOB NOT NULL, lane INTEGER NOT NULL, session BLOB NOT NULL,
  leased INTEGER NOT NULL DEFAULT 0,
  next_seq INTEGER NOT NULL DEFAULT 1,
  unknown INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  PRIMARY KEY (channel, lane)
) STRICT, WITHOUT ROWID;
CREATE INDEX lanes_by_session ON lanes (session) WHERE state = 'open';

CREATE TABLE top_ups (channel BLOB PRIMARY KEY, id TEXT NOT NULL, units INTEGER NOT NULL)
  STRICT, WITHOUT ROWID;

CREATE TABLE spends (
  day INTEGER NOT NULL, currency TEXT NOT NULL, payee BLOB NOT NULL, units INTEGER NOT NULL,
  PRIMARY KEY (day, currency, payee)
) STRICT, WITHOUT ROWID;

CREATE TABLE calls (
  call_id TEXT PRIMARY KEY,
  method TEXT NOT NULL, url TEXT NOT NULL, digest BLOB NOT NULL, session BLOB NOT NULL,
  channel BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, amount INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sent', 'settled', 'failed', 'unknown')),
  charged INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_lane ON calls (channel, lane) WHERE state = 'sent';

CREATE TABLE receipts (
  number INTEGER PRIMARY KEY,
  channel BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, units INTEGER NOT NULL,
  request BLOB NOT NULL, status INTEGER NOT NULL, answer BLOB NOT NULL, mac BLOB NOT NULL,
  method TEXT NOT NULL, url TEXT NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX receipts_by_lane ON receipts (channel, lane, seq);

CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL, kind TEXT NOT NULL, channel BLOB NOT NULL, detail TEXT NOT NULL
) STRICT;
"""
SCHEMA: Final = _SCHEMA_2 + TRANSFERS
