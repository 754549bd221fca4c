#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what building and testing need on Debian and Ubuntu, as root; names it otherwise.
# Usage: setup.sh [build|test|deb|bench]
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

declare -A needed=(
  [cc]=gcc [make]=make [zstd]=zstd [tar]=tar [gzip]=gzip [setfacl]=acl [setfattr]=attr
)
case "${1:-test}" in
  build) ;;
  test) needed+=([shellcheck]=shellcheck [jq]=jq [mariadbd]=mariadb-server [pg_ctlcluster]=postgresql) ;;
  deb) needed+=([dh]=debhelper [lintian]=lintian [fakeroot]=fakeroot [dpkg-buildpackage]=dpkg-dev) ;;
  bench) needed+=([python3]=python3 [restic]=restic [borg]=borgbackup) ;;
  *) echo "usage: $0 [build|test|deb|bench]" >&2; exit 1 ;;
esac

missing=()
for command in "${!needed[@]}"; do
  command -v "$command" >/dev/null || missing+=("${needed[$command]}")
done
if ! command -v cargo >/dev/null; then
  echo "setup: no cargo found: install a Rust toolchain (1.88 or newer) first" >&2
  exit 1
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: please install: ${missing[*]}" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
