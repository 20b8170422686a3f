#!/bin/sh
# Install a hashed lock and AISA itself (editable) into a virtual environment.
# usage: install.sh VENV LOCK     uv does it in seconds; where uv cannot run, pip does the same slowly
set -eu

venv=$1
lock=$2
python="$venv/bin/python"

with_uv() {
  "$venv/bin/uv" pip install --quiet --python "$python" --require-hashes -r "$lock" &&
    "$venv/bin/uv" pip install --quiet --python "$python" --no-deps --no-build-isolation -e .
}

with_pip() {
  "$python" -m pip install --quiet --require-hashes -r "$lock" &&
    "$python" -m pip install --quiet --no-deps --no-build-isolation -e .
}

# An interrupted first run may have left an environment without pip.
"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null

"$venv/bin/uv" --version >/dev/null 2>&1 ||
  "$python" -m pip install --quiet --require-hashes -r requirements/bootstrap.txt ||
  echo "uv is not available; installing with pip" >&2

echo "installing $lock"
if "$venv/bin/uv" --version >/dev/null 2>&1; then
  with_uv && exit 0
  echo "uv did not finish; trying pip" >&2
fi
with_pip
