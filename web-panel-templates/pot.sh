#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Writes the catalogue of the pages' words, ghostsnap.pot, or says with --check whether it is current.
set -euo pipefail
cd "$(dirname "$0")"

new=$(mktemp)
trap 'rm -f "$new"' EXIT
find . -name '*.php' | LC_ALL=C sort | xgettext --files-from=- --language=PHP --from-code=UTF-8 \
	--keyword=say --keyword=say_count:1,2 --package-name=ghostsnap --no-location --output=- |
	grep -v '^"POT-Creation-Date:' > "$new"
if [ "${1:-}" = --check ]; then
	diff -u ghostsnap.pot "$new"
else
	cp "$new" ghostsnap.pot
fi
