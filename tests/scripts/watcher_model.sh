#!/usr/bin/env bash
# ctest: TIMEOUT=300 LABELS=model,release-only
#
# Checks tests/model/watcher.pml exhaustively with spin: safety and progress. Then breaks the rule in three
# places and sees that spin finds each break, so that the model is known to be able to fail.
set -euo pipefail

model=$SRC/tests/model/watcher.pml
dir=$(mktemp -d "${TMPDIR:-/tmp}/vigil-spin.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# build MODEL PROGRAM FLAG...
build() {
    local source=$1 program=$2
    shift 2
    spin -a "$source" >spin.log || { cat spin.log >&2; exit 1; }
    cc -O2 -DMEMLIM=4096 "$@" -o "$program" pan.c
}

# errors OUTPUT: the number of errors that a complete search found.
errors() {
    if grep -q 'max search depth too small\|out of memory' "$1"; then
        echo "incomplete"
    else
        sed -nE 's/.*errors: ([0-9]+).*/\1/p' "$1"
    fi
}

expect() { # NAME WANTED OUTPUT
    local found
    found=$(errors "$3")
    if [[ $2 == some && $found =~ ^[1-9] || $2 == "$found" ]]; then
        echo "ok: $1: $found errors, $(sed -nE 's/^ *([0-9]+) states, stored.*/\1/p' "$3") states"
    else
        echo "FAILED: $1: '$found' errors, expected $2" >&2
        cat "$3" >&2
        exit 1
    fi
}

safety() { # NAME WANTED MODEL
    build "$3" safety -DSAFETY -DNOCLAIM
    ./safety -E -m1000000 >safety.out
    expect "$1" "$2" safety.out
}

safety "safety" 0 "$model"

build "$model" progress -DNOREDUCE -DNFAIR=4
./progress -a -f -m1000000 >progress.out
expect "progress" 0 progress.out

# A bookmark that tells the committed head before its records have been published.
sed 's/streaming && published == committed && nfull/streaming \&\& nfull/;
     s/broadcast(BOOKMARK, published, last)/broadcast(BOOKMARK, committed, last)/' "$model" >early.pml
safety "broken: bookmark before publication" some early.pml

# A watcher that takes a record without looking at prev.
sed 's/first > p && second <= p -> hand_out/first > p -> hand_out/' "$model" >gap.pml
safety "broken: gap not seen" some gap.pml

# A stream that does not start at the published head.
sed 's/streaming = true; last = published/streaming = true; last = 0/' "$model" >start.pml
safety "broken: stream starts at zero" some start.pml
