#!/usr/bin/env bash
# What tests/instructions/check.sh makes of counts: on made-up ones, so that its verdicts are tested
# without valgrind.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check=$SRC/tests/instructions/check.sh

# run CODE WORD ARGUMENT...: its exit code, and what its output has in it
run() {
    local wanted=$1 word=$2 status=0
    shift 2
    "$check" "$@" >"$work/out" 2>&1 || status=$?
    if [[ $status != "$wanted" ]] || ! grep -q -- "$word" "$work/out"; then
        echo "check.sh $*: exit code $status instead of $wanted, or no '$word' in:" >&2
        cat "$work/out" >&2
        exit 1
    fi
}

# measured PUT MANY [COMPILER [LINE]]: counts that were measured, one put's and one's among many filters
measured() {
    printf '%s\n' "compiler ${3:-gcc 1 x86-64 link-time}" "put/1x1 $1" 'match/keys-1 1000' \
        "match/keys-10000 $2" "${@:4}" >"$work/measured"
}

measured 1000 1050
cp "$work/measured" "$work/counts"
compare=(--counts "$work/counts" --measured "$work/measured")

run 0 'put/1x1 .* ok' "${compare[@]}"
measured 1029 1050
run 0 'put/1x1 .* ok' "${compare[@]}"
run 1 'put/1x1 .* MORE' --margin 2 "${compare[@]}"
measured 1031 1050
run 1 'put/1x1 .* MORE' "${compare[@]}"
run 0 'put/1x1 .* ok' --margin 3.5 "${compare[@]}"
measured 900 1050
run 0 'put/1x1 .* less' "${compare[@]}"

# A put among many filters: whatever is stored, and whatever made the program.
measured 1000 1101
run 1 'take 10.1 % more than one, which is beyond' "${compare[@]}"
run 1 'not independent' --margin 50 "${compare[@]}"
measured 1000 1101 'clang 14 x86-64 no-link-time'
run 1 'not independent' "${compare[@]}"

# Nothing to compare with.
measured 1000 1050 'clang 14 x86-64 no-link-time'
run 77 'clang 14' "${compare[@]}"
measured 1000 1050 'gcc 1 x86-64 link-time' 'put/2x1 5'
run 1 'put/2x1 .* NOT RECORDED' "${compare[@]}"
run 0 'written' --update "${compare[@]}"
run 0 'put/2x1 .* ok' "${compare[@]}"
measured 1000 1050
run 1 'put/2x1 .* not measured' "${compare[@]}"
run 0 'put/1x1 .* ok' "${compare[@]}" put/1x1
printf 'compiler none\n' >"$work/measured"
run 2 'no such case' "${compare[@]}" put/9x9

run 2 'not an option' --no-such-option
run 2 'number of percent' --margin much
run 2 'needs an argument' --counts
run 2 'build the preset release' --program "$work/none"
run 0 'update' --help
