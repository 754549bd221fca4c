#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tries the package on the systems it is for: makes each by debootstrap in a temporary folder, installs
# the package with the system's own apt, backs a few thousand files up and restores them, removes and
# purges it. The repository goes from one system to the next, and each reads what the one before stored.
# Needs root, the network, debootstrap, and qemu-user-static for an architecture that is not this one's.
# Usage: systems.sh SUITE[/ARCHITECTURE]... such as: trixie noble bookworm/arm64
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$#" -gt 0 ] || { echo "usage: $0 SUITE[/ARCHITECTURE]..." >&2; exit 1; }
version=$(dpkg-parsechangelog -S Version)
packages=${PACKAGES:-target/package}
scripts=/usr/share/debootstrap/scripts
work=$(mktemp -d "${TMPDIR:-/tmp}/ghostsnap-systems.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

fail() { echo "systems: $*" >&2; exit 1; }

# In a namespace of its own: what is mounted and started there ends with the command.
inside() { # ROOT COMMAND...
  local root="$1"
  shift
  unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
    DEBIAN_FRONTEND=noninteractive MAN_DISABLE_SECCOMP=1 chroot "$root" "$@"
}

make_system() { # SUITE ARCHITECTURE ROOT
  local script="$scripts/$1" keyring=()
  # An old debootstrap knows all suites of Debian, but not the newer ones of Ubuntu.
  [ -e "$script" ] || script=$scripts/gutsy
  if [ "$(readlink -f "$script")" = "$(readlink -f $scripts/gutsy)" ]; then
    keyring=(--keyring="${UBUNTU_KEYRING:-/usr/share/keyrings/ubuntu-archive-keyring.gpg}")
    [ -e "${keyring[0]#*=}" ] || fail "for $1, if it is Ubuntu's, install ubuntu-keyring, or say UBUNTU_KEYRING=FILE"
  fi
  [ "$2" = "$(dpkg --print-architecture)" ] || [ -n "$(find /proc/sys/fs/binfmt_misc -name 'qemu-*')" ] ||
    fail "programs for $2 do not run here: install qemu-user-static"
  # What it mounts meanwhile goes with it, even if it is killed.
  unshare --mount debootstrap --variant=minbase --arch="$2" "${keyring[@]}" "$1" "$3" "" "$script" \
    > "$work/log" 2>&1 || { tail -n 20 "$work/log" "$3"/debootstrap/debootstrap.log >&2 || true; fail "cannot make $1 for $2"; }
  # A proxy, for instance.
  apt-config dump | grep -E '^Acquire::(http|https|Check)' > "$3/etc/apt/apt.conf.d/90here" || true
}

# Runs in the system.
# shellcheck disable=SC2317
try_package() {
  set -euo pipefail
  fail() { echo "systems: $*" >&2; exit 1; }
  describe() { (cd "$1" && find . -mindepth 1 -printf '%P %y %m %U %G %l %T@\n' | sort && find . -type f -exec sha256sum {} + | sort); }
  export GHOSTSNAP_REPOSITORY=/srv/passed/repository GHOSTSNAP_KEY_FILE=/srv/passed/key

  apt-get update -q
  apt-get install -y -q --no-install-recommends /srv/ghostsnap.deb man-db
  ghostsnap --version
  man ghostsnap | grep -q 'encrypted' || fail "man ghostsnap shows nothing of it"
  man v-ghostsnap-backup-user | grep -q 'v-ghostsnap-backup-user' || fail "a command has no man page"

  if [ -d "$GHOSTSNAP_REPOSITORY" ]; then
    ghostsnap restore latest /srv/tree --target /srv/before
    describe /srv/before | diff - /srv/passed/before || fail "what the system before stored came back different"
  else
    ghostsnap init
  fi
  mkdir /srv/tree
  cp -a /usr/share /etc /srv/tree
  ghostsnap backup /srv/tree
  ghostsnap backup /srv/tree
  ghostsnap snapshots
  ghostsnap restore latest /srv/tree --target /srv/restored
  diff -r --no-dereference /srv/tree /srv/restored || fail "files came back different"
  describe /srv/tree > /srv/passed/before
  describe /srv/restored | diff - /srv/passed/before || fail "times, owners or modes came back different"
  ghostsnap check --read-data
  find /srv/tree | wc -l

  apt-get remove -y -q ghostsnap
  [ ! -e /usr/bin/ghostsnap ] || fail "the program is there after its removal"
  [ -e /etc/cron.d/ghostsnap ] || fail "the removal took the settings"
  apt-get purge -y -q ghostsnap
  [ -z "$(find /etc /usr /var -ipath '*ghostsnap*' ! -path '/var/cache/man/*')" ] || fail "purging left files"
}

for system in "$@"; do
  suite=${system%/*}
  case "$system" in */*) arch=${system#*/} ;; *) arch=$(dpkg --print-architecture) ;; esac
  package="$packages/ghostsnap_${version}_$arch.deb"
  [ -f "$package" ] || fail "there is no $package: run make deb DEB_HOST_ARCH=$arch"
  echo "systems: $suite, $arch"
  root="$work/root"
  mkdir -p "$work/passed"
  make_system "$suite" "$arch" "$root"
  cp "$package" "$root/srv/ghostsnap.deb"
  mv "$work/passed" "$root/srv/passed"
  { declare -f try_package; echo try_package; } > "$root/srv/try.sh"
  inside "$root" bash /srv/try.sh > "$work/log" 2>&1 || { cat "$work/log"; fail "$system"; }
  [ -z "${VERBOSE:-}" ] || cat "$work/log"
  mv "$root/srv/passed" "$work/passed"
  rm -rf --one-file-system "$root"
done
echo "systems: all well"
