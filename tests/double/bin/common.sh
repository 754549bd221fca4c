#!/bin/bash
# SPDX-License-Identifier: MIT
# What the stand-ins share. They find the tree they belong to by their own place in it.
# shellcheck disable=SC2034 # the scripts that source this use these
BASE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../.." && pwd)
HESTIA=$BASE/usr/local/hestia
BACKUP_DIR=$BASE/backup
HOMEDIR=$BASE/home
export TZ=UTC LC_ALL=C.UTF-8

fail() { # CODE TEXT
	echo "Error: $2"
	exit "$1"
}

faulty() { # NAME
	[ -e "$BASE/faults/$1" ]
}

# A clock that moves one second with every look, so that no test has to wait for one.
now() { # FORMAT
	local tick
	tick=$(($(cat "$BASE/clock" 2> /dev/null || echo 1795331580) + 1))
	echo "$tick" > "$BASE/clock"
	date -d "@$tick" "+$1"
}

stamp() { # TEXT
	echo "$(now '%F %T') $1"
}

check_user_name() {
	[[ $1 =~ ^[[:alnum:]]([-._[:alnum:]]{0,28}[[:alnum:]])?$ ]] || fail 2 "invalid user format :: $1"
}

setting() { # FILE KEY
	sed -n "s/^$2='\(.*\)'\$/\1/p" "$1" | tail -n 1
}

value() { # ROW KEY
	sed -n "s/.*\b$2='\([^']*\)'.*/\1/p" <<< "$1"
}

delete_row() { # USER FILE KEY NAME
	local file=$HESTIA/data/users/$1/$2
	grep -qs "\b$3='$4'" "$file" || fail 3 "$4 doesn't exist"
	faulty "delete-fails-$4" && fail 20 "something is wrong with $4"
	sed -i "/\b$3='$4'/d" "$file"
	echo "delete $1 $2 $4" >> "$BASE/history"
}

# FTP accounts that miss are made, with the hash at their place of the list; of several, the last
# one's alone is in the list afterwards, as Hestia does it.
make_ftp_accounts() { # USER DOMAIN
	local file=$HESTIA/data/users/$1/web.conf row at accounts hashes
	row=$(grep "DOMAIN='$2'" "$file")
	IFS=: read -r -a accounts <<< "$(value "$row" FTP_USER)"
	IFS=: read -r -a hashes <<< "$(value "$row" FTP_MD5)"
	for at in "${!accounts[@]}"; do
		grep -q "^${accounts[at]}:" "$BASE/etc/passwd" && continue
		echo "${accounts[at]}:x:1005:1005::$HOMEDIR/$1/web/$2:/usr/sbin/nologin" >> "$BASE/etc/passwd"
		echo "${accounts[at]}:${hashes[at]}:20779:0:99999:7:::" >> "$BASE/etc/shadow"
		sed -i "/DOMAIN='$2'/s|FTP_MD5='[^']*'|FTP_MD5='${hashes[at]}'|" "$file"
	done
}
