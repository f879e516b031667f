#!/bin/sh
# See that programs are there which the tests need; install Debian's packages of them when allowed.
#
#   tools/debian.sh "the page's test" "chromium chromedriver" "chromium chromium-driver"
#
# A program that stays missing is a failure, never a skipped test.
set -eu
for_what=$1
programs=$2
packages=$3

missing=
for program in $programs; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -z "$missing" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "parvis: $for_what needs$missing in PATH; install that, then run make test again" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "parvis: $for_what needs$missing; run: sudo apt-get install $packages" >&2
    exit 1
fi
echo "installing $packages ..."
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# RUNLEVEL=1: no service of a package is started, for the tests start servers of their own.
# shellcheck disable=SC2086  # the words of $packages are packages
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
