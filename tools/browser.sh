#!/bin/sh
# See that Chromium and its driver are there for the page's test; install Debian's when allowed.
#
# A missing browser is a failure, never a skipped test.
set -eu

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "parvis: the page's test needs chromium and chromedriver in PATH; install them, then run make test again" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "parvis: the page's test needs a browser; run: sudo apt-get install chromium chromium-driver" >&2
    exit 1
fi
echo "installing chromium and chromium-driver ..."
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
