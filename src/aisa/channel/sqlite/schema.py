"""The tables of the payee's file, and its statements.

A charge's rowid is its batch and place in it: charges are appended, a batch is one range, and only
the small index (channel, lane, seq) is written at random. The answers of a batch are one blob in its row,
until they are forgotten.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 5
PLACES: Final = 1024
"""A charge's rowid is its batch times this, plus its place."""

SALES: Final = """
CREATE TABLE IF NOT EXISTS sale (
  id BLOB PRIMARY KEY,
  state INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  network TEXT NOT NULL,
  payer BLOB NOT NULL,
  currency TEXT NOT NULL,
  units INTEGER NOT NULL,
  request BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  identifier TEXT NOT NULL,
  valid_until_s INTEGER NOT NULL,
  asked BLOB NOT NULL,
  status INTEGER NOT NULL,
  answer BLOB NOT NULL,
  response TEXT NOT NULL,
  reference TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS sale_identifier ON sale (identifier) WHERE identifier != '';
CREATE INDEX IF NOT EXISTS sale_at ON sale (at_ms);
CREATE INDEX IF NOT EXISTS sale_settling ON sale (id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS sale_answered ON sale (at_ms) WHERE answer != x'' AND state = 2;
"""

TABLES: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE channel (
  number INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  network TEXT NOT NULL,
  holder BLOB NOT NULL,
  payer BLOB NOT NULL,
  currency TEXT NOT NULL,
  salt BLOB NOT NULL,
  fee_ppm INTEGER NOT NULL,
  opened_ms INTEGER NOT NULL,
  deposit INTEGER NOT NULL,
  ceiling INTEGER NOT NULL,
  voucher_signature BLOB NOT NULL,
  charged INTEGER NOT NULL,
  redeemed INTEGER NOT NULL,
  redeeming INTEGER NOT NULL,
  lane_floor INTEGER NOT NULL,
  state INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL,
  escrow BLOB NOT NULL DEFAULT x'',
  CHECK (0 <= charged AND charged <= ceiling AND ceiling <= deposit)
) STRICT;
CREATE INDEX channel_closed ON channel (changed_ms) WHERE state = 2;
CREATE TABLE session (
  channel INTEGER NOT NULL,
  hash BLOB NOT NULL,
  payer_x25519 BLOB NOT NULL,
  payee_x25519 BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  lane_first INTEGER NOT NULL,
  lane_count INTEGER NOT NULL,
  expiry INTEGER NOT NULL,
  PRIMARY KEY (channel, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE lane (
  channel INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  units INTEGER NOT NULL,
  closed INTEGER NOT NULL,
  seq_floor INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (channel, lane)
) STRICT, WITHOUT ROWID;
CREATE TABLE batch (number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, answers BLOB) STRICT;
CREATE TABLE charge (
  place INTEGER PRIMARY KEY,
  channel INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  units INTEGER NOT NULL,
  cumulative INTEGER NOT NULL,
  request BLOB NOT NULL,
  status INTEGER NOT NULL,
  answer_digest BLOB NOT NULL,
  answer_start INTEGER NOT NULL,
  answer_size INTEGER NOT NULL,
  voided INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX charge_seq ON charge (channel, lane, seq);
{SALES}"""

STEPS: Final = (
    "",
    # What version 1 kept of answers had receipts in it; calls of its last ten minutes get 409.
    "ALTER TABLE batch ADD COLUMN answers BLOB; DROP TABLE answers;",
    "INSERT OR IGNORE INTO meta VALUES ('generation', 0); DELETE FROM meta WHERE name='probe';",
    "ALTER TABLE channel ADD COLUMN escrow BLOB NOT NULL DEFAULT x'';",
    SALES,
)
"""What brings a file from the version that is its place here to the next one."""

INSERT_CHANNEL: Final = "INSERT INTO channel VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
UPDATE_CHANNEL: Final = (
    "UPDATE channel SET deposit=?, ceiling=?, voucher_signature=?, charged=?, redeemed=?,"
    " redeeming=?, lane_floor=?, state=?, changed_ms=? WHERE number=?"
)
NEXT_GENERATION: Final = "UPDATE meta SET value=value+1 WHERE name='generation'"
FORGET_SESSIONS: Final = (
    "DELETE FROM session WHERE channel=?1 AND expiry<=?2 AND hash NOT IN"
    " (SELECT hash FROM session WHERE channel=?1 ORDER BY expiry DESC LIMIT ?3)"
)
INSERT_SESSION: Final = "INSERT OR IGNORE INTO session VALUES (?,?,?,?,?,?,?,?)"
PUT_LANE: Final = (
    "INSERT INTO lane (channel, lane, units, closed) VALUES (?,?,?,?)"
    " ON CONFLICT (channel, lane) DO UPDATE SET units=excluded.units, closed=excluded.closed"
)
# Only what lies between the floor that is stored and the new one: older rows are not read again.
FORGET_CLOSED_LANES: Final = (
    "DELETE FROM lane WHERE channel=?1 AND lane<?2"
    " AND lane >= COALESCE((SELECT lane_floor FROM channel WHERE number=?1), 0)"
    " AND closed=1 AND units=0 AND seq_floor=0 AND NOT EXISTS"
    " (SELECT 1 FROM charge WHERE charge.channel=lane.channel AND charge.lane=lane.lane)"
)
INSERT_CHARGE: Final = (
    "INSERT INTO charge (place, channel, lane, seq, units, cumulative, request, status,"
    " answer_digest, answer_start, answer_size) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
VOID_CHARGE: Final = "UPDATE charge SET voided=1 WHERE channel=? AND lane=? AND seq=? AND voided=0"

SELECT_CHARGE: Final = (
    "SELECT channel, lane, seq, units, cumulative, request, status, answer_digest,"
    " answer_start, answer_size, voided, place FROM charge"
)
SELECT_SEQS: Final = (
    "SELECT seq FROM charge WHERE channel=? AND lane=? ORDER BY seq DESC LIMIT 1024"
)
SELECT_OWING: Final = "SELECT network, number, charged - redeemed FROM channel WHERE (charged > redeemed AND state = 0) OR state = 1"
# Batches are numbered in the order of time: what is old is read from where the last round ended.
OLDEST_BATCHES: Final = "SELECT number, at_ms FROM batch WHERE number > ? ORDER BY number LIMIT ?"
FORGET_ANSWERS: Final = (
    "UPDATE batch SET answers=NULL WHERE number BETWEEN ? AND ? AND answers IS NOT NULL"
)
IS_OWED: Final = (
    "SELECT EXISTS (SELECT 1 FROM charge JOIN channel ON channel.number = charge.channel"
    " WHERE charge.place >= ? AND charge.place < ?"
    " AND charge.cumulative > channel.redeemed AND channel.state != 2)"
)
RAISE_SEQ_FLOORS: Final = (
    "UPDATE lane SET seq_floor = MAX(seq_floor, pruned.seq) FROM ("
    " SELECT channel, lane, MAX(seq) AS seq FROM charge WHERE place >= ? AND place < ?"
    " GROUP BY channel, lane) AS pruned"
    " WHERE lane.channel = pruned.channel AND lane.lane = pruned.lane"
)
SELECT_DEAD_CHANNELS: Final = (
    "SELECT number FROM channel WHERE state = 2 AND changed_ms < ? AND NOT EXISTS"
    " (SELECT 1 FROM charge WHERE charge.channel = channel.number) LIMIT ?"
)

# Only a sale's own row is written over: another one of the same identifier is an error.
PUT_SALE: Final = (
    "INSERT INTO sale VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
    " state=excluded.state, at_ms=excluded.at_ms, status=excluded.status,"
    " answer=excluded.answer, response=excluded.response, reference=excluded.reference"
)
SELECT_SETTLING: Final = "SELECT * FROM sale WHERE state = 0 AND id > ? ORDER BY id LIMIT ?"
FORGET_SALE_ANSWERS: Final = (
    "UPDATE sale SET answer = x'' WHERE id IN (SELECT id FROM sale"
    " WHERE answer != x'' AND state = 2 AND at_ms < ? LIMIT ?)"
)
FORGET_SALES: Final = (
    "DELETE FROM sale WHERE id IN (SELECT id FROM sale WHERE at_ms < ? AND state != 0 LIMIT ?)"
)
