#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The main job on a sample Hestia user, in a temporary folder that is removed at the end:
# backup, second backup, list, damage, restore, compare. Usage: run.sh PATH-TO-GHOSTSNAP
# shellcheck disable=SC2016 # PHP and SQL, not shell
set -euo pipefail

ghostsnap=$(realpath "${1:?usage: run.sh PATH-TO-GHOSTSNAP}")
here=$(cd "$(dirname "$0")" && pwd)
sample=$(mktemp -d "${TMPDIR:-/tmp}/ghostsnap-demo.XXXXXX")
trap 'rm -rf "$sample"' EXIT

# Everything happens below this folder: a sample Hestia, its homes, its /backup, our repository.
export GHOSTSNAP_HESTIA_BELOW=$sample

export GHOSTSNAP_CONFIG=$sample/ghostsnap.toml
cat > "$GHOSTSNAP_CONFIG" <<TOML
repository = "$sample/repository"
key_file = "$sample/repository.key"
log_folder = "$sample/log"
TOML

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

show() {
  printf '$ ghostsnap %s\n' "$*"
  "$ghostsnap" "$@"
}

make_sample_hestia() {
  local hestia=$sample/usr/local/hestia tool
  mkdir -p "$hestia"/{bin,conf,data/users} "$sample"/{backup,etc,home,usr/bin,mysql,pgsql,faults}
  cp "$here"/../double/bin/v-* "$here"/../double/bin/common.sh "$hestia/bin/"
  for tool in mariadb psql mariadb-dump pg_dump; do cp "$here/../double/bin/$tool" "$sample/usr/bin/"; done
  printf "%s\n" "BACKUP_MODE='zstd'" "BACKUP_SYSTEM='local'" "VERSION='1.10.3'" \
    "BACKUP_LA_LIMIT='1000000'" "WEB_SYSTEM='nginx'" "WEB_BACKEND='php-fpm'" "DNS_SYSTEM='bind9'" \
    "MAIL_SYSTEM='exim4'" "DB_SYSTEM='mysql'" "CRON_SYSTEM='cron'" > "$hestia/conf/hestia.conf"
  echo "HOST='localhost' USER='root' PASSWORD='' CHARSETS='UTF8MB4'" > "$hestia/conf/mysql.conf"
  echo "alice:x:$(id -u):$(id -g):alice@shop.example:/home/alice:/bin/bash" > "$sample/etc/passwd"
  echo "alice:!:20779:0:99999:7:::" > "$sample/etc/shadow"
  echo "alice:x:$(id -g):" > "$sample/etc/group"
  printf '[client]\n' > "$hestia/conf/.mysql.localhost"
}

# A shop of some 25 MB: code, pictures, a mailbox, a database, a cron job.
make_alice() {
  local data=$sample/usr/local/hestia/data/users/alice home=$sample/home/alice file n
  mkdir -p "$data"/{dns,mail,ssl} "$home"/{conf,tmp,web/shop.example/{public_html/images,private}} \
    "$home/mail/shop.example/info/cur" "$home"/conf/{web,mail}/shop.example
  echo 'server { server_name shop.example; }' > "$home/conf/web/shop.example/nginx.conf"
  echo 'info:{SHA512-CRYPT}x' > "$home/conf/mail/shop.example/passwd"
  printf "%s\n" "NAME='Alice'" "PACKAGE='default'" "BACKUPS='5'" "CONTACT='alice@shop.example'" \
    "MD5='x'" "ROLE='user'" "SUSPENDED='no'" "TIME='07:03:50'" "DATE='2026-11-22'" > "$data/user.conf"
  for file in web dns mail db cron backup; do : > "$data/$file.conf"; done
  echo "DOMAIN='shop.example' IP='127.0.0.1' ALIAS='www.shop.example' SSL='no' SUSPENDED='no'" > "$data/web.conf"
  echo "DOMAIN='shop.example' DKIM='no' SUSPENDED='no'" > "$data/mail.conf"
  echo "ACCOUNT='info' ALIAS='' SUSPENDED='no'" > "$data/mail/shop.example.conf"
  echo "DB='alice_shop' DBUSER='alice_shop' MD5='*5' HOST='localhost' TYPE='mysql' CHARSET='UTF8MB4'" > "$data/db.conf"
  echo "JOB='1' MIN='*/5' HOUR='*' DAY='*' MONTH='*' WDAY='*' CMD='true' SUSPENDED='no'" > "$data/cron.conf"
  for n in $(seq 1 400); do
    printf '<?php\n// page %s\nfunction page_%s($cart) { return render("page %s", $cart); }\n' "$n" "$n" "$n" \
      > "$home/web/shop.example/public_html/page-$n.php"
  done
  for n in $(seq 1 40); do
    head -c 600000 /dev/urandom > "$home/web/shop.example/public_html/images/product-$n.jpg"
  done
  for n in $(seq 1 200); do
    printf 'From: customer-%s@example.org\nSubject: order %s\n\nPlease send me product %s.\n' "$n" "$n" "$n" \
      > "$home/mail/shop.example/info/cur/$n.host:2,S"
  done
  make_dump > "$sample/mysql/alice_shop.sql"
}

make_dump() {
  echo 'CREATE TABLE `orders` (`id` int, `what` text);'
  seq 1 20000 | sed 's/.*/INSERT INTO `orders` VALUES (&,"product &");/'
  echo '-- Dump completed on 2026-11-22  7:12:55'
}

# Names, content and links of all that is alice's.
fingerprint() {
  (cd "$sample" && find home/alice/web home/alice/mail mysql -type f ! -path '*/document_errors/*' -print0 | sort -z \
    | xargs -0 sha256sum)
}

make_sample_hestia
make_alice
fingerprint > "$sample/before"

say "First backup of the sample user alice ($(du -sh "$sample/home/alice" | cut -f1) of files)"
show hestia backup --user alice

say "A day later: one page edited, one mail arrived"
echo '// a new line' >> "$sample/home/alice/web/shop.example/public_html/page-7.php"
printf 'Subject: hello\n\nnew mail\n' > "$sample/home/alice/mail/shop.example/info/cur/201.host:2,"
fingerprint > "$sample/before"
show hestia backup --user alice

say "What there is"
show hestia list-backups --user alice

say "Disaster: the pictures are encrypted, the mails gone, the table empty"
for file in "$sample"/home/alice/web/shop.example/public_html/images/*; do head -c 1000 /dev/urandom > "$file"; done
rm -rf "$sample/home/alice/mail/shop.example/info"
# Its rows are gone; it can still be dumped, else the restore would not overwrite it.
printf '%s\n' 'CREATE TABLE `orders` (' '  `id` int' ');' '-- Dump completed' > "$sample/mysql/alice_shop.sql"

say "Restore"
show hestia restore alice --snapshot latest --force

say "Compare"
fingerprint > "$sample/after"
if ! diff "$sample/before" "$sample/after"; then
  echo "The restored user differs." >&2
  exit 1
fi
echo "All $(wc -l < "$sample/after") files, mails and databases are back, byte for byte."

say "And the repository is sound"
show check --read-data

if [ -d /usr/local/hestia/data/users ]; then
  say "This machine has a HestiaCP. To back a real user of it up (root, repository of its own):"
  echo "  $ghostsnap hestia list-users"
  echo "  $ghostsnap hestia backup --user NAME"
fi
echo
echo "Nothing is left behind: $sample is removed now."
