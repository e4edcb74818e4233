#!/usr/bin/env bash
# Breaks each guarantee on purpose, and sees the tests catch it.
#
#   scripts/breaks.sh [NAME]...     all of tests/breaks/*.patch, or those of these names
#
# Each patch takes one rule out of the code; its second line, "Caught-by: REGEX", names the tests that
# have to fail without it (for ctest -R). The committed tree is copied, built, and every named test is
# seen to pass before. Exit 0: each break was caught.
set -euo pipefail
cd "$(dirname "$0")/.."
source_dir=$PWD

die() {
    echo "breaks.sh: $*" >&2
    exit 2
}

names=("$@")
if ((${#names[@]} == 0)); then
    for patch in tests/breaks/*.patch; do
        patch=${patch##*/}
        names+=("${patch%.patch}")
    done
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/vigil-breaks.XXXXXX")
trap 'rm -rf "$folder"' EXIT
tree=$folder/tree
build=$folder/build

git archive --prefix=tree/ HEAD | tar -x -C "$folder"
cmake -S "$tree" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug >"$folder/log" || die "no build: $(tail "$folder/log")"

build_tree() {
    cmake --build "$build" >"$folder/log" 2>&1 || die "$1: does not build: $(tail "$folder/log")"
}

# run_tests REGEX: whether all pass; the first that does not ends it. How it went is then in $folder/tests.
run_tests() {
    ctest --test-dir "$build" -R "$1" --no-tests=error --stop-on-failure >"$folder/tests" 2>&1
}

build_tree "the tree as it is"
missed=0
for name in "${names[@]}"; do
    patch=$source_dir/tests/breaks/$name.patch
    [[ -r $patch ]] || die "no such break: $name"
    tests=$(sed -n '2s/^Caught-by: //p' "$patch")
    [[ -n $tests ]] || die "$name: its second line does not say which tests catch it"
    run_tests "$tests" || die "$name: its tests fail without it: $(grep -E 'Failed|Timeout' "$folder/tests")"
    patch -s -d "$tree" -p1 <"$patch" || die "$name: does not apply any more"
    build_tree "$name"
    if run_tests "$tests"; then
        echo "MISSED  $name: $(head -n 1 "$patch")"
        missed=$((missed + 1))
    else
        echo "caught  $name: $(head -n 1 "$patch") By: $(awk '/\*\*\*/ { printf "%s%s", sep, $4; sep = ", " }' "$folder/tests")"
    fi
    patch -s -R -d "$tree" -p1 <"$patch"
    build_tree "the tree as it was"
done
((missed == 0)) || {
    echo "$missed of ${#names[@]} breaks were not caught" >&2
    exit 1
}
echo "${#names[@]} of ${#names[@]} breaks caught"
