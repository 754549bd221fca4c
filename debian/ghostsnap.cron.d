# Where no systemd runs, this works off what waits and what is due, and tells people what is wrong,
# as ghostsnap-notify.timer does elsewhere. It says nothing where
# ghostsnap-jobs.service does, or where there is no HestiaCP.
SHELL=/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin

*/5 * * * * root [ -d /run/systemd/system ] || [ ! -d /usr/local/hestia/bin ] || [ ! -x /usr/bin/ghostsnap ] || /usr/bin/ghostsnap hestia run-jobs --until-empty --quiet
23 * * * * root [ -d /run/systemd/system ] || [ ! -d /usr/local/hestia/bin ] || [ ! -x /usr/bin/ghostsnap ] || /usr/bin/ghostsnap hestia notify --quiet
