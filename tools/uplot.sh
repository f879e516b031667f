#!/bin/sh
# Fetch uPlot, which draws the charts of load test reports, into loadtest/pages/build.
#
# It comes from the npm registry by name; the archive must be the one whose hash stands here.
set -eu

version=1.6.32
sha512=2883159c6ebccefbb95d751b0b82d010f9e1c0ec41b8bc96d401eda66e882935c89a46cb824332fa369b8cb8122cc6ac36e186cd09bf7a9ded3a4c93c6989023
place=$(dirname "$0")/../loadtest/pages/build

sh "$(dirname "$0")/debian.sh" "the charts of load test reports" npm npm
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "fetching uplot@$version ..."
npm pack --silent --pack-destination "$folder" "uplot@$version" >/dev/null
if ! echo "$sha512  $folder/uplot-$version.tgz" | sha512sum --check --quiet >/dev/null 2>&1; then
    echo "parvis: uplot@$version is not the archive it was: its hash differs from the one in tools/uplot.sh" >&2
    exit 1
fi
tar -xzf "$folder/uplot-$version.tgz" -C "$folder"
mkdir -p "$place"
cp "$folder/package/dist/uPlot.min.css" "$place"
cp "$folder/package/LICENSE" "$place/uPlot.LICENSE"
# The last one, which make looks for.
cp "$folder/package/dist/uPlot.iife.min.js" "$place"
