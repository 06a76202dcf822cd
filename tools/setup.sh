#!/usr/bin/env bash
# Installs the packages of tools/packages.txt that are missing (and, with --tests, what the tests
# need beside them). Works as root or with sudo; does nothing when all are there.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
while read -r name; do
  case "$name" in ''|'#'*) continue ;; esac
  dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
done < tools/packages.txt
# The chat page is built with node: one from anywhere will do (18 or newer); Debian's own is installed
# when there is none.
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ "${1:-}" = --tests ]; then  # the page is tested, and its pictures are made, in a browser
  for name in chromium fonts-noto-cjk; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=()
elif command -v sudo >/dev/null; then
  as_root=(sudo)
else
  echo "These packages are missing and neither root nor sudo is at hand: ${missing[*]}" >&2
  exit 1
fi
echo "== installing: ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
