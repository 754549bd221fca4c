#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs, upgrades, removes and purges the Debian package in a folder that stands for a machine,
# with a HestiaCP of a few files. Needs dpkg only; nothing outside the folder is touched.
# Usage: tests/deb.sh [PACKAGE.deb]
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(dpkg-parsechangelog -S Version)
native=$(dpkg --print-architecture)
package="${1:-target/package/ghostsnap_${version}_$native.deb}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root="$work/root"
hestia="$root/usr/local/hestia"
shim="$hestia/bin/v-ghostsnap-list-users"
page="$hestia/web/list/ghostsnap/index.php"

fail() { echo "deb: $*" >&2; exit 1; }
step() { echo "deb: $*"; }

# Scripts run outside the folder and get its path (DPKG_ROOT), so that it needs no shell in it.
run_dpkg() {
	dpkg --root="$root" --force-script-chrootless --force-not-root --log="$work/dpkg.log" "$@" >> "$work/output" 2>&1 || { cat "$work/output"; fail "dpkg $*"; }
}

# A package that owns files below /usr/local/hestia, as HestiaCP's does.
make_hestia() { # VERSION
	local tree="$work/hestia-$1"
	mkdir -p "$tree/DEBIAN" "$tree/usr/local/hestia"/{bin,data/api,web/{inc,list/backup,js/custom_scripts}}
	echo "hestia $1" > "$tree/usr/local/hestia/bin/v-list-users"
	echo "hestia $1" > "$tree/usr/local/hestia/data/api/billing"
	echo "hestia $1" > "$tree/usr/local/hestia/web/inc/main.php"
	printf '%s\n' 'Package: hestia' "Version: $1" 'Architecture: all' \
		'Maintainer: Nobody <nobody@localhost>' 'Description: stand-in' > "$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$tree" "$work/hestia-$1.deb" > /dev/null
}

# The package as a later version: one shim differs, one is gone.
make_next() {
	local tree="$work/next"
	dpkg-deb -R "$package" "$tree"
	sed -i "s/^Version: .*/Version: $version+next/" "$tree/DEBIAN/control"
	echo "# next" >> "$tree/usr/share/ghostsnap/bin/v-ghostsnap-list-users"
	rm "$tree/usr/share/ghostsnap/bin/v-ghostsnap-backup-users"
	dpkg-deb --root-owner-group -b "$tree" "$work/next.deb" > /dev/null
}

hestia_files() { (cd "$hestia" && find . -type f | sort); }
expect_status() { # CODE
	local code=0
	GHOSTSNAP_ROOT="$root" "$root/usr/share/ghostsnap/install.sh" status > "$work/status" || code=$?
	[ "$code" -eq "$1" ] || { cat "$work/status"; fail "status gave $code instead of $1"; }
}

[ -f "$package" ] || fail "there is no $package: run make deb"
arch=$(dpkg-deb -f "$package" Architecture)
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates"
# What the package depends on counts as installed: dpkg holds triggers back otherwise.
dpkg-deb -f "$package" Depends | tr ',' '\n' | awk '{ print $1 }' | while read -r name; do
	printf '%s\n' "Package: $name" 'Status: install ok installed' 'Version: 99' \
		"Architecture: $arch" 'Maintainer: Nobody <nobody@localhost>' \
		'Description: stand-in' ''
done > "$root/var/lib/dpkg/status"
[ "$arch" = "$native" ] || dpkg --root="$root" --add-architecture "$arch"
make_hestia 1.9.9
make_hestia 1.10.3
make_next

step "the program starts on every system that the package is for"
program="$work/program/usr/bin/ghostsnap"
dpkg-deb -x "$package" "$work/program"
machine=$(readelf --file-header --wide "$program" | sed -n 's/^ *Machine: *//p')
case "$arch:$machine" in
	amd64:*X86-64 | arm64:AArch64) ;;
	*) fail "the package is for $arch, and the program for $machine" ;;
esac
# All that it asks of glibc, and what the package says that it asks.
newest=$(readelf --version-info --wide "$program" | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -uV | tail -1)
declared=$(dpkg-deb -f "$package" Depends | sed -n 's/.*libc6 (>= \([0-9.]*\)).*/\1/p')
[ -n "$newest" ] || fail "the program asks nothing of glibc: was it read?"
dpkg --compare-versions "$newest" le "${declared:-0}" ||
	fail "the program needs glibc $newest, and the package says ${declared:-nothing}"
if [ -x "${GHOSTSNAP_BUILD_TOOLS:-/opt/ghostsnap-build-tools}/bin/cargo-zigbuild" ]; then
	# That of Debian 10; Debian 11 has 2.31, Ubuntu 22.04 has 2.35.
	dpkg --compare-versions "$declared" le 2.28 || fail "the package needs glibc $declared, not 2.28"
else
	step "made without zig: it is for systems with glibc $declared and newer"
fi

# A program for another processor runs where Debian's emulator and that processor's glibc are. The
# emulator's own -L would put that glibc's folder in the place of /.
glibc=/usr/aarch64-linux-gnu/lib
case "$arch" in
	"$native") emulator=() can_run=yes ;;
	*) emulator=(qemu-aarch64-static "$glibc/ld-linux-aarch64.so.1" --library-path "$glibc") can_run=no
		command -v "${emulator[0]}" > /dev/null && [ "$arch" = arm64 ] && [ -e "${emulator[1]}" ] && can_run=yes ;;
esac
if [ "$can_run" = yes ]; then
	step "it backs up and restores"
	: > "$work/settings"
	export GHOSTSNAP_CONFIG="$work/settings" GHOSTSNAP_STATE_DIR="$work/state" GHOSTSNAP_CACHE_DIR="$work/cache"
	export GHOSTSNAP_REPOSITORY="$work/repository" GHOSTSNAP_KEY_FILE="$work/key"
	ghostsnap() { "${emulator[@]}" "$program" "$@" >> "$work/output" 2>&1 || { cat "$work/output"; fail "ghostsnap $*"; }; }
	ghostsnap --version
	ghostsnap init
	ghostsnap backup "$PWD/docs"
	ghostsnap restore latest "$PWD/docs" --target "$work/restored"
	diff -r --no-dereference docs "$work/restored" || fail "the restored files are others"
	ghostsnap check --read-data
else
	step "not tried: programs for $arch need qemu-user-static and libc6-arm64-cross here"
fi

step "without HestiaCP only the program is there"
run_dpkg -i "$package"
[ ! -e "$hestia" ] || fail "something was placed below a HestiaCP that is not there"
[ -x "$root/usr/bin/ghostsnap" ] || fail "the program is missing"
[ "$(stat -c %a "$root/etc/ghostsnap" "$root/var/lib/ghostsnap" | tr '\n' ' ')" = "700 700 " ] ||
	fail "the folders of keys and backups are open to others"
[ "$(stat -c %a "$root/var/spool/ghostsnap/requests")" = 1733 ] ||
	fail "the folder of requests is not as it must be"
# Before Debian 13 it is in /lib.
[ -e "$root/usr/lib/systemd/system/ghostsnap-jobs.service" ] ||
	[ -e "$root/lib/systemd/system/ghostsnap-jobs.service" ] || fail "the service is missing"
[ -e "$root/usr/share/ghostsnap/grafana-dashboard.json" ] || fail "the dashboard is missing"
[ -e "$root/usr/lib/systemd/system/ghostsnap-notify.timer" ] ||
	[ -e "$root/lib/systemd/system/ghostsnap-notify.timer" ] || fail "the timer is missing"
for file in ../etc/cron.d/ghostsnap share/man/man1/ghostsnap.1.gz share/man/man8/v-ghostsnap-backup-user.8.gz \
	share/bash-completion/completions/ghostsnap share/doc/ghostsnap/examples/ghostsnap.toml \
	share/doc/ghostsnap/docs/disaster-recovery.md; do
	[ -e "$root/usr/$file" ] || fail "/usr/$file is missing"
done

step "when HestiaCP comes, the trigger places the commands"
run_dpkg -i "$work/hestia-1.9.9.deb"
[ -x "$shim" ] || fail "the commands were not placed"
[ -f "$hestia/data/api/ghostsnap-user" ] || fail "the API profiles were not placed"
for file in list/ghostsnap/index.php inc/ghostsnap/page.php templates/pages/ghostsnap/list.php \
	js/custom_scripts/ghostsnap.js js/ghostsnap/pages.js css/ghostsnap/pages.css \
	schedule/ghostsnap/index.php download/ghostsnap/index.php; do
	[ -f "$hestia/web/$file" ] || fail "the page $file was not placed"
done
expect_status 0

step "an upgrade of HestiaCP gives back what was lost and keeps what was changed"
rm "$shim" "$page"
echo "# mine" >> "$hestia/bin/v-ghostsnap-backup-user"
run_dpkg -i "$work/hestia-1.10.3.deb"
[ -x "$shim" ] || fail "the trigger did not give the lost command back"
[ -f "$page" ] || fail "the trigger did not give the lost page back"
grep -q '# mine' "$hestia/bin/v-ghostsnap-backup-user" || fail "a changed command was overwritten"
expect_status 1

step "an upgrade of the package replaces and drops its own commands"
run_dpkg -i "$work/next.deb"
grep -q '# next' "$shim" || fail "the new version of a command was not placed"
[ ! -e "$hestia/bin/v-ghostsnap-backup-users" ] || fail "a dropped command is still there"
grep -q '# mine' "$hestia/bin/v-ghostsnap-backup-user" || fail "a changed command was overwritten"

step "removal takes away what was placed and nothing else"
mkdir -p "$root/var/lib/ghostsnap/repository" "$root/var/lib/ghostsnap/jobs/done"
echo key > "$root/etc/ghostsnap/repository.key"
run_dpkg -r ghostsnap
[ "$(hestia_files | tr '\n' ' ')" = \
	"./bin/v-ghostsnap-backup-user ./bin/v-list-users ./data/api/billing ./web/inc/main.php " ] ||
	fail "after the removal HestiaCP has: $(hestia_files)"
[ -z "$(find "$hestia" -type d -name ghostsnap)" ] || fail "the removal left a folder of ours"
[ ! -e "$root/usr/bin/ghostsnap" ] || fail "the program is still there"

step "purging keeps keys and backups"
mkdir -p "$root/var/log/ghostsnap"
run_dpkg -P ghostsnap
[ -e "$root/etc/ghostsnap/repository.key" ] || fail "purging destroyed a key"
[ -e "$root/var/lib/ghostsnap/repository" ] || fail "purging destroyed backups"
[ ! -e "$root/var/lib/ghostsnap/jobs" ] || fail "purging left the list of jobs"
[ ! -e "$root/var/spool/ghostsnap" ] || fail "purging left requests"
[ ! -e "$root/var/log/ghostsnap" ] || fail "purging left logs"
[ ! -e "$root/var/lib/ghostsnap/manifest" ] || fail "purging left the manifest"

step "and the package installs beside a HestiaCP that was there first"
rm "$hestia/bin/v-ghostsnap-backup-user"
run_dpkg -i "$package"
expect_status 0
run_dpkg -P ghostsnap
[ "$(hestia_files | tr '\n' ' ')" = "./bin/v-list-users ./data/api/billing ./web/inc/main.php " ] ||
	fail "after the last removal HestiaCP has: $(hestia_files)"
step "all well"
