#!/usr/bin/env bash
# ctest: TIMEOUT=120
# The results of bench/compare.sh become the tables and plots that they should. Nothing is measured: the
# results are stored ones. The plots only where gnuplot is installed.
set -euo pipefail
cd "$SRC"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sample=tests/scripts/compare_sample.ndjson

fail() {
    echo "$*" >&2
    exit 1
}

command -v jq >/dev/null || exit 77

bench/compare-table "$sample" >"$work/tables"
has() { # TEXT
    grep -qF -- "$1" "$work/tables" || fail "the tables do not have: $1"
}
has_not() {
    ! grep -qF -- "$1" "$work/tables" || fail "the tables have: $1"
}
has 'Measured on 2026-01-02 at abcdef0'
# Medians, ranges, and ratios of each round: their median is not the ratio of the medians. Rows keep
# their places whatever the order of a round was.
has '| 50 × 16 | Vigil `power` put | 200 K (150 K–240 K) | 2 | 12.3 | 1.25 | 2 | 500 K | 1 | 1 |'
has '|  | Redis `always` SET + PUBLISH | 100 K (100 K–200 K) | 2 | 12.3 | 1.25 | 4 | 250 K | 1.5 (1.2–2) | 2 |'
# What did not work shows, and leaves its round out.
has '|  | etcd put (failed 1 of 3; watchers keep up with 62 %) | 10 K (10 K–10 K) | 2 | 12.3 | 1.25 | 2 | 500 K | 22 (20–24) | 1 |'
has 'KV watch (10 % not delivered) |'
has 'etcd put (could not keep the rate) |'
# One round of that did nothing at all.
has 'SET + PUBLISH (watchers cut off) | 40 K (0–40 K) |'
has '| 10 | Vigil `process` † put (watchers keep up with 80 %) |'
# Verdicts.
has '| the same, 50 × 16 | ≥ 1.3 × | 1.5 × (2 × per second of server CPU) Redis `always` SET + PUBLISH; 1.5 × (2 × per second of server CPU) a SET that nobody watches | met |'
has "over JetStream KV's | < 1 | p50 0.5, p99 0.5 | met |"
has "| the same over etcd's | < 1 | p50 2, p99 0.1 | **not met** |"
has "| replay over JetStream's ordered consumer | ≥ 5 × | 5 (5–5) | met |"
has '| the same, 50 × 64 | ≥ 1.3 × | - | not measured |'
# Nothing of what was not measured.
has '### Replay from the beginning'
has_not '### Counters'
has_not null

# Rendering changes what is between the markers, and nothing else; again is the same.
mkdir "$work/docs"
printf '%s\n' 'before' '<!-- compare:begin -->' 'old' '<!-- compare:end -->' 'after' >"$work/docs/performance.md"
render() {
    TMPDIR=$work bench/compare.sh --docs "$work/docs" --render "$sample" 2>"$work/error" ||
        fail "rendering: $(cat "$work/error")"
}
render
{
    printf 'before\n<!-- compare:begin -->\n\n'
    cat "$work/tables"
    printf '\n<!-- compare:end -->\nafter\n'
} >"$work/expected"
cmp "$work/expected" "$work/docs/performance.md" || fail "the document is not what it should be"
render
cmp "$work/expected" "$work/docs/performance.md" || fail "rendering again changes the document"
if compgen -G "$work/vigil-compare-*" >/dev/null; then
    fail "rendering leaves its folder"
fi

# What cannot be rendered is an error, and leaves the document.
echo 'no markers' >"$work/docs/performance.md"
if bench/compare-table --into "$work/docs/performance.md" "$sample" 2>/dev/null; then
    fail "a document without markers must be an error"
fi
if compgen -G "$work/docs/performance.md.*" >/dev/null; then
    fail "a failed rendering leaves a file"
fi
[[ $(cat "$work/docs/performance.md") == 'no markers' ]] ||
    fail "a failed rendering must leave the document"
tail -n +2 "$sample" >"$work/headless"
if bench/compare-table "$work/headless" >/dev/null 2>&1; then
    fail "results without a header must be an error"
fi

# The data of a plot: a block for each, in fixed places, measured or not.
bench/compare-table --plot throughput-depth "$sample" >"$work/depth"
[[ $(grep -c '^"' "$work/depth") == 12 ]] || fail "twelve lines are expected: $(cat "$work/depth")"
grep -A 1 -F '"Vigil power put, 50 clients"' "$work/depth" | grep -qx '16 200000 150000 240000' ||
    fail "the plot's data is wrong: $(cat "$work/depth")"
if command -v gnuplot >/dev/null; then
    for plot in throughput-depth delivery-load throughput-watchers; do
        grep -q '^<svg' "$work/docs/plots/$plot.svg" || fail "$plot.svg is no plot"
    done
fi

# Each participant of each row is a server, an operation and a number of watchers.
bench/compare.sh --list >"$work/rows"
[[ $(wc -l <"$work/rows") -gt 20 ]] || fail "there are rows missing: $(cat "$work/rows")"
if grep -vE '^[a-z0-9-]+:( (vigil|redis|nats|etcd)[a-z-]*/[a-z-]+/[0-9]+)+$' "$work/rows"; then
    fail "the rows above are odd"
fi
