#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Writes the catalogue of the pages' words, ghostsnap.pot, or says with --check whether it is current.
set -euo pipefail
cd "$(dirname "$0")"

new=$(mktemp)
# What settings mean is said by the command, which knows one language.
words=$(mktemp --suffix=.php)
trap 'rm -f "$new" "$words"' EXIT
perl -0777 -ne '
	print "<?php\n";
	print "say(\"$1\");\n" while /"([^"]*)",?\s*\)(?:\s*\.only\([^)]*\))?,\n/g;
	' ../src/hestia/setting_keys.rs > "$words"
{ find . -name '*.php' | LC_ALL=C sort; echo "$words"; } | xgettext --files-from=- --language=PHP --from-code=UTF-8 \
	--keyword=say --keyword=say_count:1,2 --package-name=ghostsnap --no-location --output=- |
	grep -v '^"POT-Creation-Date:' > "$new"
if [ "${1:-}" = --check ]; then
	diff -u ghostsnap.pot "$new"
else
	cp "$new" ghostsnap.pot
fi
