#!/usr/bin/env bash
# ctest: TIMEOUT=240 PROCESSORS=2
# bench/aims.sh measures one aim, keeps what it had of the others, and puts a table between its markers
# and nowhere else; what is met and what is missed follows from the figures. No figure's size is judged.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aims=$SRC/bench/aims.sh

fail() {
    echo "$*" >&2
    exit 1
}

printf '%s\n' 'before' '<!-- aims:begin -->' 'stale' '<!-- aims:end -->' 'after' >"$work/doc.md"

# Made-up figures: the median of three counts, and an aim is met up to its bound.
run='"date": "2000-01-01", "machine": "M", "version": "0", "file_system": "f"'
for ratio in 1.31 0.5 1.3; do
    echo "{\"aim\": \"commit\", $run, \"ratio_commit_and_echo\": $ratio, \"p50_us\": 20000,
        \"bare_commit_us\": 100, \"bare_round_trip_us\": 40}" | tr -d '\n'
    echo
done >"$work/raw"
echo "{\"aim\": \"fanout\", $run, \"ratio_fanout\": 1.5, \"watch_gaps\": 1, \"deliveries_per_s\": 3,
    \"fanout_per_s\": 2}" | tr -d '\n' >>"$work/raw"
echo >>"$work/raw"
"$aims" --render "$work/raw" --doc "$work/doc.md" >"$work/out" || fail "--render: exit $?"
[[ $(sed -n '1p;$p' "$work/doc.md") == $'before\nafter' ]] || fail "text outside of the markers has changed"
! grep -q stale "$work/doc.md" || fail "the table before is still there"
[[ $(sed -n '/aims:begin/,/aims:end/{//!p}' "$work/doc.md") == "$(cat "$work/out")" ]] ||
    fail "what is printed is not what is written"
grep -q '^| durable put.* | ≤ 1.3 | 1.3 | 0.5 to 1.31 | met | put 20 ms, commit 100 µs, echo 40 µs |$' "$work/out" ||
    fail "commit: $(cat "$work/out")"
grep -q '^| 100 watchers.* | ≥ 0.9 | 0 | 0 to 0 | \*\*missed\*\* |' "$work/out" ||
    fail "a repair does not count as missed: $(cat "$work/out")"
[[ $(grep -c '^| ' "$work/out") == 4 ]] || fail "rows of what was not measured: $(cat "$work/out")"

# Refused.
for arguments in "--only guess" "--rounds 0" "--guess" "--bin $work" "--render $work/raw --doc $work/raw"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$aims" $arguments >/dev/null 2>"$work/refused" || status=$?
    [[ $status == 2 && -s $work/refused ]] || fail "$arguments: exit $status"
done

# A run.
mkdir "$work/data"
if [[ -x $VIGIL_BENCH && -x $VIGILD ]]; then
    "$aims" --quick --only fanout --only written --bin "$(dirname "$VIGIL_BENCH")" --data "$work/data" \
        --raw "$work/raw" --doc /dev/null >"$work/out" 2>"$work/err" || fail "a run: exit $?: $(cat "$work/err")"
    [[ $(jq -r .aim "$work/raw" | xargs) == "commit commit commit fanout written" ]] ||
        fail "the raw file has $(jq -r .aim "$work/raw" | xargs)"
    grep -q '^| bytes written' "$work/out" || fail "no row of what was measured"
    [[ -z $(ls -A "$work/data") ]] || fail "left $(ls -A "$work/data")"

    # A run that fails does not take the others with it.
    status=0
    VIGILD=$work/no-such-vigild "$aims" --quick --only fanout --bin "$(dirname "$VIGIL_BENCH")" \
        --data "$work/data" --raw "$work/raw" --doc /dev/null >"$work/out" 2>"$work/err" || status=$?
    [[ $status == 1 ]] || fail "a run that failed: exit $status"
    [[ $(grep -c '^| durable put' "$work/out") == 1 && $(grep -c '^| 100 watchers' "$work/out") == 0 ]] ||
        fail "after a run that failed: $(cat "$work/out")"
fi
