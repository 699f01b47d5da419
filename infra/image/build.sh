#!/usr/bin/env bash
# Builds the image of this checkout:  infra/image/build.sh TAG [arguments of the builder ...]
#
# BUILDER is docker, podman or buildah (the first that is there); BASE the image to build from (debian:12-slim). Labels
# tell the version of CMakeLists.txt and the revision, with "-dirty" when the checkout is not what git knows.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:?"usage: infra/image/build.sh TAG [arguments of the builder ...]"}
shift

builder=${BUILDER:-}
for each in docker podman buildah; do
    if [ -z "$builder" ] && command -v "$each" >/dev/null; then builder=$each; fi
done
[ -n "$builder" ] || { echo "infra/image/build.sh: no docker, podman or buildah here" >&2; exit 2; }

version=$(sed -n 's/^project(claude_proxy VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
if [ "$revision" != unknown ] && [ -n "$(git status --porcelain)" ]; then revision+=-dirty; fi
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

given=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision")
given+=(--build-arg "CREATED=$(date -u -d "@$when" +%Y-%m-%dT%H:%M:%SZ)")
[ -z "${BASE:-}" ] || given+=(--build-arg "BASE=$BASE")
# The other format of images knows no health check; docker writes its own anyway.
[ "${builder##*/}" = docker ] || given+=(--format docker)
exec "$builder" build "${given[@]}" -f infra/image/Dockerfile -t "$tag" "$@" .
