#!/bin/sh
# Make a virtual environment with the first interpreter of this machine that is new enough.
# usage: venv.sh DIRECTORY        PYTHON=/path/to/python3 chooses the interpreter
set -eu

for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
  command -v "$candidate" >/dev/null 2>&1 || continue
  "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
  echo "making $1 with $("$candidate" --version)"
  if "$candidate" -m venv "$1"; then
    exit 0
  fi
  rm -rf "$1"
  echo "$candidate cannot make a virtual environment (on Debian: apt install python3-venv)" >&2
done

echo "AISA needs Python 3.11 or newer with venv; none was found. Set PYTHON=/path/to/python3." >&2
exit 1
