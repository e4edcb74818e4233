#!/usr/bin/env bash
# Measures the aims that no other system takes part in, one after another and that several times over, and
# writes their table into docs/performance.md between the markers aims:begin and aims:end.
#
#   cmake --preset release && cmake --build --preset release
#   bench/aims.sh                       all of them, in about eight minutes
#   bench/aims.sh --only half --only commit
#   bench/aims.sh --quick --doc /dev/null    a try: the figures mean little
#   bench/aims.sh --render FILE         the table anew, from what a run has written
#
#   --only NAME    commit keys fanout filters beside grown written half (repeatable)
#   --rounds N     how often the short ones are measured (5)
#   --bin DIR      where vigild and vigil-bench are (build/release/bin)
#   --data DIR     on the disk that is measured (TMPDIR, else /var/tmp)
#   --raw FILE     what is measured, one JSON object a line (bench/results/aims.ndjson); with --only, the
#                  lines of the other aims stay
#   --doc FILE     where the table goes (docs/performance.md); its markers have to be there already, and
#                  /dev/null has none to be. The table is also printed.
#
# The machine should have nothing else to do. Exit code 0: measured, whether the aims are met or not; 1: a
# run of vigil-bench failed, and is missing from the table.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
bin=$root/build/release/bin
raw=$root/bench/results/aims.ndjson
doc=$root/docs/performance.md
names=(commit keys fanout filters beside grown written half)
only=()
rounds=5
quick=
render=
failed=0
data=()

give_up() { # CODE TEXT
    echo "aims: $2" >&2
    exit "$1"
}

while (($# > 0)); do
    case $1 in
    --only | --rounds | --bin | --data | --raw | --doc | --render)
        (($# > 1)) || give_up 2 "$1 needs an argument"
        case $1 in
        --only) only+=("$2") ;;
        --data) data=(--data "$2") ;;
        *) declare "${1#--}=$2" ;;
        esac
        shift
        ;;
    --quick) quick=yes ;;
    -h | --help)
        sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *) give_up 2 "'$1' is not an option (see --help)" ;;
    esac
    shift
done
for name in "${only[@]}"; do
    [[ " ${names[*]} " == *" $name "* ]] || give_up 2 "'$name' is not an aim: ${names[*]}"
done
[[ $rounds =~ ^[1-9][0-9]?$ ]] || give_up 2 "--rounds takes a number from 1 to 99, not '$rounds'"

# ---- measuring ------------------------------------------------------------------------

wanted() {
    [[ -z ${only[*]} || " ${only[*]} " == *" $1 "* ]]
}

# long FULL QUICK: the one that this run takes
long() {
    if [[ -n $quick ]]; then echo "$2"; else echo "$1"; fi
}

# measure NAME ARGUMENT...: adds one run of vigil-bench to the raw file. One that fails is told of, and
# the others go on.
measure() {
    local name=$1 object
    shift
    echo "$name: vigil-bench $*" >&2
    if ! object=$("$bin/vigil-bench" "$@" "${data[@]}" --json); then
        failed=$((failed + 1))
        return 0
    fi
    jq -c --arg aim "$name" --arg arguments "$*" --arg date "$(date -u +%F)" \
        '{aim: $aim, date: $date, arguments: $arguments} + .' <<<"$object" >>"$raw"
}

measure_filters() {
    local program=$bin/../tests/instructions/instructions kept
    if [[ ! -x $program ]] || ! command -v valgrind >/dev/null; then
        echo "filters: left out: it needs valgrind, and the release build of tests/instructions" >&2
        return 0
    fi
    echo "filters: tests/instructions/check.sh" >&2
    kept=$(mktemp)
    "$root/tests/instructions/check.sh" --program "$program" --keep "$kept" match/keys-1 match/keys-10000 \
        match/prefixes-1 match/prefixes-10000 >&2 || true
    jq -R -s -c --arg date "$(date -u +%F)" '
        [split("\n")[] | split(" ") | select(length == 2) | {(.[0]): (.[1] | tonumber)}] | add
        | {aim: "filters", $date, arguments: "tests/instructions/check.sh", counts: .}' "$kept" >>"$raw"
    rm -f "$kept"
}

# What is exact, or has rounds of its own.
measure_once() {
    ! wanted filters || measure_filters
    ! wanted grown || measure grown grown --durability process --duration "$(long 5s 500ms)" \
        --records "$(long 10M 100K)" --watchers "$(long 1000 50)"
    ! wanted keys || measure keys watch --distinct --watchers "$(long 1000 50)" --rate 0 --clients 50 \
        --depth 16 --durability process --duration "$(long 1500ms 300ms)" --runs "$(long 10 1)"
    ! wanted beside || measure beside beside --durability process --duration "$(long 4s 500ms)" \
        --records "$(long 5M 100K)" --runs "$(long 5 2)"
}

measure_round() {
    local duration durability
    duration=$(long 3s 300ms)
    ! wanted commit || measure commit put --watchers 1 --duration "$duration"
    ! wanted fanout || measure fanout watch --rounds --watchers 100 --clients 4 --depth 500 \
        --durability process --duration "$duration"
    ! wanted written || measure written put --watchers 1 --clients 50 --depth 64 --keys "$(long 100K 1K)" \
        --no-yardstick --duration "$(long 6s 300ms)" --warmup "$(long 2s 100ms)"
    if wanted half; then
        for durability in process power; do
            measure half half --durability $durability --duration "$duration"
        done
    fi
}

if [[ -z $render ]]; then
    [[ -x $bin/vigil-bench && -x $bin/vigild ]] ||
        give_up 2 "no vigil-bench or vigild in $bin: build the preset release, or use --bin"
    mkdir -p "$(dirname "$raw")"
    if [[ -f $raw && -n ${only[*]} ]]; then
        kept=$(jq -c --arg only " ${only[*]} " '.aim as $aim | select($only | contains(" \($aim) ") | not)' "$raw")
        printf '%s' "${kept:+$kept$'\n'}" >"$raw"
    else
        : >"$raw"
    fi
    measure_once
    for ((i = 0; i < $(long "$rounds" 1); i++)); do
        measure_round
    done
    render=$raw
fi

# ---- the table ------------------------------------------------------------------------

table=$(jq -r -s -f "$here/aims.jq" "$render")
echo "$table"
if [[ $doc != /dev/null ]]; then
    for marker in begin end; do
        grep -q "<!-- aims:$marker -->" "$doc" || give_up 2 "$doc has no marker <!-- aims:$marker -->"
    done
    changed=$(mktemp)
    TABLE=$table awk '
        /<!-- aims:end -->/ {inside = 0}
        !inside {print}
        /<!-- aims:begin -->/ {inside = 1; print ENVIRON["TABLE"]}' "$doc" >"$changed"
    cat "$changed" >"$doc"
    rm -f "$changed"
fi
if ((failed > 0)); then
    give_up 1 "$failed of the runs failed"
fi
