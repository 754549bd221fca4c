#!/bin/bash
# SPDX-License-Identifier: MIT
# Places the plugin's files below HestiaCP, and takes them away again.
#
#   install.sh place [--force]  copy what is missing or outdated; --force also what was changed here
#   install.sh remove           delete what was placed and has not been changed since
#   install.sh status           say how each file is; exit code 1 if one is not as it should be
# A manifest of checksums says which files are ours: a file that is not in it, or not as it says,
# belongs to the admin and is not touched without --force. Safe to run at any time; does nothing
# without HestiaCP. GHOSTSNAP_ROOT stands in front of all paths, for tests.
set -euo pipefail
export LC_ALL=C
umask 022

root="${GHOSTSNAP_ROOT:-}"
share="$root/usr/share/ghostsnap"
hestia="$root/usr/local/hestia"
manifest="$root/var/lib/ghostsnap/manifest"
force=no
faults=0

say() { printf 'ghostsnap: %s\n' "$*"; }
exists() { [ -e "$1" ] || [ -L "$1" ]; }
plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
sum_of() { sha256sum < "$1" | cut -d ' ' -f 1; }
mode_of() { case "$1" in bin/*) echo 755 ;; *) echo 644 ;; esac; }

# Where a file of the package belongs.
target_of() {
	case "$1" in
		api/*) printf '%s/data/%s\n' "$hestia" "$1" ;;
		*) printf '%s/%s\n' "$hestia" "$1" ;;
	esac
}

packaged_files() {
	cd "$share"
	find bin api web -type f 2> /dev/null | sort || true
}

# A line of the manifest: 64 digits, two spaces, a path.
recorded_files() { [ ! -f "$manifest" ] || cut -c 67- "$manifest"; }
recorded_sum() { # FILE [MANIFEST]
	[ ! -f "${2:-$manifest}" ] ||
		awk -v path="$1" 'substr($0, 67) == path { print $1 }' "${2:-$manifest}"
}
is_ours() { plain "$1" && [ "$(recorded_sum "$1")" = "$(sum_of "$1")" ]; }
record() { printf '%s  %s\n' "$1" "$2" >> "$manifest.new"; }

place_one() {
	local file="$1" target recorded
	target=$(target_of "$file")
	recorded=$(recorded_sum "$target")
	if plain "$target" && cmp -s "$share/$file" "$target"; then
		chmod "$(mode_of "$file")" "$target"
	elif [[ $file == api/* && -n "$recorded" && "$force" == no ]] && ! exists "$target"; then
		# HestiaCP never removes it: the admin withdrew these rights.
		say "left out $target, which was removed here: '$share/install.sh place --force' brings it back"
		record "$recorded" "$target"
		return
	elif ! exists "$target" || is_ours "$target" ||
		{ [ "$force" = yes ] && { [ -L "$target" ] || [ ! -d "$target" ]; }; }; then
		mkdir -p "$(dirname "$target")"
		install -m "$(mode_of "$file")" "$share/$file" "$target.ghostsnap-new"
		mv -fT "$target.ghostsnap-new" "$target"
	else
		say "kept $target, which was changed here: '$share/install.sh place --force' overwrites it"
		[ -z "$recorded" ] || record "$recorded" "$target"
		return
	fi
	record "$(sum_of "$target")" "$target"
}

# Folders that bear our name, or lie in one that does, are ours; they go with the last file in them.
remove_empty_folders() {
	local folder
	folder=$(dirname "${1#"$hestia"/}")
	while [[ "/$folder/" == */ghostsnap/* ]] && rmdir "$hestia/$folder" 2> /dev/null; do
		folder=$(dirname "$folder")
	done
}

remove_one() {
	if is_ours "$1"; then
		rm -f "$1"
		remove_empty_folders "$1"
	elif exists "$1"; then
		say "kept $1, which was changed here"
	fi
}

place() {
	local files file
	[ -d "$hestia/bin" ] || { say "HestiaCP is not installed; nothing to place"; return; }
	files=$(packaged_files)
	[ -n "$files" ] || { say "nothing to place in $share"; exit 1; }
	mkdir -p "$(dirname "$manifest")"
	: > "$manifest.new"
	while read -r file; do place_one "$file"; done <<< "$files"
	# What an older version had and this one has not.
	while read -r file; do
		[ -z "$file" ] || [ -n "$(recorded_sum "$file" "$manifest.new")" ] || remove_one "$file"
	done <<< "$(recorded_files)"
	mv -f "$manifest.new" "$manifest"
}

remove() {
	local file
	while read -r file; do [ -z "$file" ] || remove_one "$file"; done <<< "$(recorded_files)"
	rm -f "$manifest" "$manifest.new"
}

status() {
	local files file target word
	[ -d "$hestia/bin" ] || { say "HestiaCP is not installed"; return; }
	files=$(packaged_files)
	while read -r file; do
		target=$(target_of "$file")
		word=changed
		if ! exists "$target"; then word=missing; elif is_ours "$target"; then word=outdated; fi
		if plain "$target" && cmp -s "$share/$file" "$target"; then word=placed; else faults=1; fi
		printf '%-8s %s\n' "$word" "$target"
	done <<< "$files"
}

[ "${2:-}" != --force ] || force=yes
case "${1:-}" in
	place) place ;;
	remove) remove ;;
	status) status ;;
	*) echo "Usage: install.sh place [--force] | remove | status" && exit 1 ;;
esac
exit "$faults"
