#!/bin/sh
# Install a peer of the bench, from its hashed lock, into an environment of its own.
# usage: peer.sh VENV LOCK        after `make setup`: interpreter and uv are those of .venv
set -eu

venv=$1
lock=$2

echo "installing $lock into $venv"
.venv/bin/python -m venv --clear "$venv"
if .venv/bin/uv --version >/dev/null 2>&1; then
  .venv/bin/uv pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"
else
  "$venv/bin/python" -m pip install --quiet --require-hashes -r "$lock"
fi
