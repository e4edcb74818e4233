#!/usr/bin/env bash
# ctest: TIMEOUT=180 PROCESSORS=2
# vigil-bench check from the outside: a baseline is made, compared with and found wanting; the exit codes.
# No figure's size is judged but against one that no machine can miss or reach.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/data"

fail() {
    echo "$*" >&2
    cat "$work/out" "$work/err" >&2
    exit 1
}

[[ -x $VIGIL_BENCH && -x $VIGILD ]] || exit 77

# check CODE ARGUMENT...: its exit code; output and errors are in $work/out and $work/err
check() {
    local wanted=$1 status=0
    shift
    "$VIGIL_BENCH" check --duration 200ms --warmup 50ms --data "$work/data" "$@" \
        >"$work/out" 2>"$work/err" || status=$?
    [[ $status == "$wanted" ]] || fail "check $*: exit $status instead of $wanted"
    [[ -z $(ls -A "$work/data") ]] || fail "check $* left $(ls -A "$work/data")"
}

# out_has JQ-EXPRESSION...: each holds for the object
out_has() {
    local expression
    for expression in "$@"; do
        jq -e "$expression" "$work/out" >/dev/null || fail "not $expression"
    done
}

# ratio TEXT RATIO: the baseline's rows with this in their names get that ratio
ratio() {
    jq --arg text "$1" --argjson ratio "$2" '.rows |= with_entries(
            if .key | contains($text) then .value = {ratio: $ratio, low: $ratio, high: $ratio, runs: 1}
            else . end)' "$work/base.json" >"$work/base.new"
    mv "$work/base.new" "$work/base.json"
}

# Every row can be measured, those with a yardstick of the disk too.
check 0 --write "$work/base.json" --runs 1 --json --records 5K
out_has '.rows | length == 15' 'all(.rows[]; .ratio > 0 and .low == .ratio and .runs == 1)'
jq -e '.machine and .version and (.rows | length == 15) and (.rows | has("put power 50x16"))' \
    "$work/base.json" >/dev/null || fail "the baseline: $(cat "$work/base.json")"

ratio 'put process 1x1' 0.000001
check 0 --baseline "$work/base.json" --only 'put process 1x1' --json
out_has '.worse == 0' '.margin_percent == 20' '.rows | length == 1' '.rows[0].verdict == "better"' \
    '.rows[0].runs == 1' '.rows[0].change_percent > 100'

# What cannot be reached is measured again, as often as it may be, and fails; with the table.
ratio 'put process 1x1' 1000000
check 1 --baseline "$work/base.json" --only 'put process 1x1' --runs 3 --json
out_has '.worse == 1' '.rows[0].verdict == "WORSE"' '.rows[0].runs == 3' '.rows[0].change_percent < -90'
check 1 --baseline "$work/base.json" --only 'put process 1x1' --runs 1
grep -Eq 'put process 1x1 .* WORSE' "$work/out" || fail "no verdict in the lines"
grep -q 'put process 1x1 .* WORSE' "$work/err" || fail "the progress says nothing"

# A row of which nothing is known is new; --write --only replaces one, and leaves the others.
jq 'del(.rows["get 1x1"])' "$work/base.json" >"$work/less.json"
check 0 --baseline "$work/less.json" --only 'get 1x1' --json
out_has '.rows[0].verdict == "new"'
check 0 --write "$work/less.json" --only 'get 1x1' --runs 2 --json
out_has '.rows | length == 1' '.rows[0].runs == 2'
jq -e '(.rows | length == 15) and .rows["put process 1x1"].ratio == 1000000' "$work/less.json" \
    >/dev/null || fail "--only has written: $(cat "$work/less.json")"

# What cannot work says so.
check 2 --baseline "$work/none.json"
grep -q -- '--write' "$work/err" || fail "no hint"
echo '{"rows": {"put process 1x1": 7}}' >"$work/bad.json"
check 2 --baseline "$work/bad.json"
jq '.rows["put sideways"] = .rows["get 1x1"]' "$work/base.json" >"$work/odd.json"
check 2 --baseline "$work/odd.json"
grep -q 'put sideways' "$work/err" || fail "the odd row is not named"
check 2 --baseline "$work/base.json" --only 'no such row'
check 2 --baseline "$work/base.json" --margin 100
check 2 --baseline "$work/base.json" --margin -5
check 2 --baseline "$work/base.json" --no-yardstick
check 2 --baseline "$work/base.json" --server ipc:///nowhere
check 1 --write "$work/no-such-folder/base.json" --only 'get 1x1' --runs 1

# The one in the repository is one that this program takes.
jq -e '.rows | length == 15' "$SRC/bench/baseline.json" >/dev/null || fail "bench/baseline.json lacks rows"
