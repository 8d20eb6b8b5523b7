#!/bin/sh
# Builds HEAD twice, each time in a fresh clone, and compares the program, the web page and the packages byte by byte. What
# differs is named. One build takes from the build cache what is there, the other has an empty one and makes all anew.
# Modules and npm's archives are taken from their caches, which are held against go.sum and package-lock.json.
set -eu

root=$(git rev-parse --show-toplevel)
commit=$(git -C "$root" rev-parse HEAD)
if ! git -C "$root" diff --quiet HEAD; then
  echo "uncommitted changes are left out: what is built is $commit" >&2
fi
targets=${TARGETS:-package}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

build() { # PLACE UMASK TIMEZONE GOCACHE
  echo "building in $work/$1, build cache $4"
  begun=$(date +%s)
  (
    umask "$2"
    export TZ="$3" GOCACHE="$4" GOFLAGS=
    # shellcheck disable=SC2086 # a list of targets
    git clone -q --no-checkout "$root" "$work/$1" && cd "$work/$1" && git checkout -q "$commit" && make --silent $targets
  ) >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "the build in $work/$1 failed" >&2
    exit 1
  }
  echo "built in $(($(date +%s) - begun)) s"
}
sums() { # of what was made, by name
  (cd "$work/$1" && find bin dist web/dist -type f ! -name .gitkeep 2>/dev/null | LC_ALL=C sort | xargs sha256sum)
}

# Two paths of different lengths, and different users' settings.
one=one/oxbow another=another/place/of/the-source
build "$one" 022 UTC-3 "$(go env GOCACHE)"
sums "$one" >"$work/first"
build "$another" 077 UTC+9 "$work/cache"
rm -rf "$work/cache"
sums "$another" >"$work/second"
if ! grep -q ' bin/oxbow$' "$work/first"; then
  echo 'no program was built' >&2
  exit 1
fi
if ! diff -u "$work/first" "$work/second"; then
  echo 'the builds differ in the files above' >&2
  for file in $(diff "$work/first" "$work/second" | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u); do
    echo "$file:" >&2
    cmp "$work/$one/$file" "$work/$another/$file" >&2 || true
    case $file in bin/* | dist/bin/*)
      go version -m "$work/$one/$file" >"$work/built-1"
      go version -m "$work/$another/$file" >"$work/built-2"
      diff "$work/built-1" "$work/built-2" >&2 || true
      ;;
    esac
  done
  exit 1
fi
cat "$work/first"
echo "$(wc -l <"$work/first") files of $commit are the same in both builds"
