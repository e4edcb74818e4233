#!/usr/bin/env bash
# ctest: TIMEOUT=240 PROCESSORS=2 LABELS=release-only
# Every command of vigil-bench ends well in a short run, prints the figures it promises, and leaves
# neither a process nor a file behind. No figure's size is judged.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/data"

fail() {
    echo "$*" >&2
    exit 1
}

[[ -x $VIGIL_BENCH && -x $VIGILD ]] || exit 77

# run NAME ARGUMENT...: its JSON goes to $work/NAME.json
run() {
    local name=$1
    shift
    "$VIGIL_BENCH" "$@" --json --data "$work/data" >"$work/$name.json" 2>"$work/$name.err" ||
        fail "$name: exit $?: $(cat "$work/$name.err")"
    [[ $(wc -l <"$work/$name.json") == 1 ]] || fail "$name: not one line"
    [[ -z $(ls -A "$work/data") ]] || fail "$name left $(ls -A "$work/data")"
    local field
    for field in ops_per_s p50_us p90_us p99_us p999_us max_us; do
        jq -e "(.rows // [.]) | all(.$field > 0)" "$work/$name.json" >/dev/null || fail "$name: no $field"
    done
}

# has NAME JQ-EXPRESSION...: each holds for the run's object
has() {
    local name=$1 expression
    shift
    for expression in "$@"; do
        jq -e "$expression" "$work/$name.json" >/dev/null ||
            fail "$name: not $expression: $(cat "$work/$name.json")"
    done
}

short=(--duration 200ms --warmup 50ms)

run put put "${short[@]}" --clients 4 --depth 8 --watchers 2
has put '.ratio_echo > 0' '.ratio_append > 0' '.server_cpu_us_per_op > 0' '.file_system | length > 0' \
    '.deliveries > .ops' '.delivery_p50_us > 0' '.requests_per_message >= 1' '.records_per_commit >= 1' \
    '.ratio_written_record > 1' '.device_bytes_per_op >= 0' 'has("ratio_commit_and_echo") | not'
run put_one put "${short[@]}"
has put_one '.ratio_commit_and_echo > 0' '.bare_commit_us > 0' '.bare_round_trip_us > 0'
run put_process put "${short[@]}" --durability process --rate 500 --threads 2 --clients 2 --no-yardstick
has put_process '.durability == "process"' 'has("ratio_echo") | not'
run put_tcp put "${short[@]}" --transport tcp --size 70000 --watchers 1
has put_tcp '.ratio_echo > 0' '.deliveries > 0'
run get get "${short[@]}" --clients 2 --depth 4 --keys 100
has get '.ratio_echo > 0'
# Both durability modes, all ways; the bench itself compares the counters with what it did.
run atomic atomic "${short[@]}" --clients 4 --keys 3
has atomic '[.rows[:5][].way] == ["put", "incr", "call", "atomically", "update"]' '(.rows | length) == 10' \
    '[.rows[].durability] | unique == ["power", "process"]' 'all(.rows[]; .ratio_put > 0 and .ratio_echo > 0)' \
    'all(.rows[]; (.durability == "power") == has("ratio_append"))' 'all(.rows[]; .runs_per_op >= 1)'
run atomic_one atomic "${short[@]}" --keys 1 --way atomically --durability process --no-yardstick
has atomic_one '[.rows[].clients] == [1, 1, 8, 8, 64, 64]' '.rows[0].ratio_put == 1' \
    '.rows[5].runs_per_op > 1' 'has("ratio_echo") | not'
run watch watch "${short[@]}" --watchers 3 --rate 500
has watch '.ratio_round_trip > 0' '.ratio_paced_round_trip > 0' '.ratio_fanout > 0' '.deliveries_per_s > 0' '.put_p50_us > 0'
run distinct watch "${short[@]}" --watchers 20 --distinct --rate 500 --runs 1
has distinct '.server_cpu_us_per_op_one > 0' '.server_cpu_us_per_op > 0' '.watchers == 20' '.ratio_one > 0' \
    '.ratio_one_min <= .ratio_one_max'
run rounds watch "${short[@]}" --watchers 3 --rounds --clients 2 --depth 100 --durability process
has rounds '.round == 20000' '.deliveries > 0' '.ratio_fanout > 0' 'has("rate") | not'
run half half "${short[@]}" --rate 200
has half '.light_p50_us > 0' '.peak_per_s > .light_per_s' '.ratio_light > 0' '.ratio_commit > 0'
run beside beside "${short[@]}" --records 20K --runs 2 --watchers 2
has beside '.burning_p99_us > 0' '.alone_p99_us > 0' '.ratio_p99 > 0' '.replay_cores > 0' '.burnt_cores > 0' \
    '.records == 20000' '.ratio_p99_min <= .ratio_p99_max'
run grown grown "${short[@]}" --records 12K --runs 1 --watchers 20
has grown '.records == 12000' '.ratio_few > 0' '.ratio_few_killed > 0' '.anon_most_mib > 0' '.watch_gaps == 0'
run wait wait "${short[@]}" --watchers 2
has wait '.ratio_round_trip > 0' '.deliveries > 0'
run replay replay --duration 500ms --records 20K --runs 2
has replay '.ratio_scan > 0' '.records == 20000'
run restart restart --duration 500ms --records 5K --runs 2
has restart '.ratio_start > 0' '.server_rss_anon_mib > 0'
run killed restart --records 5K --runs 2 --kill --no-yardstick
run yardstick yardstick --duration 1s --clients 4 --depth 8 --watchers 2
has yardstick '.echo_1x1_p50_us > 0' '.append_1_per_s > 0' '.append_3200_per_s > 0' \
    '.fdatasync_p50_us > 0' '.fanout_per_s > 0' '.scan_per_s > 0' '.bare_start_p50_us > 0'

# The lines for people have the same names.
"$VIGIL_BENCH" put "${short[@]}" --no-yardstick --watchers 0 --data "$work/data" >"$work/lines"
grep -Eq '^ops_per_s +[0-9]' "$work/lines" || fail "no ops_per_s in the lines"

# A server that somebody else runs.
mkfifo "$work/ready"
"$VIGILD" --listen "ipc://$work/s" --data "$work/given" >"$work/ready" 2>"$work/log" &
server=$!
read -r _ endpoint <"$work/ready"
run given put "${short[@]}" --server "$endpoint" --no-yardstick
has given '.server | length > 0' 'has("server_cpu_us_per_op") | not'
kill -0 "$server" || fail "the server given is gone"

# An interrupt ends it soon, without remains.
"$VIGIL_BENCH" put --duration 60s --watchers 1 --no-yardstick --data "$work/data" \
    >/dev/null 2>"$work/interrupted.err" &
bench=$!
until [[ -n $(find "$work/data" -name s.stream) ]]; do
    kill -0 "$bench" || fail "ended early: $(cat "$work/interrupted.err")"
    sleep 0.05
done
kill -TERM "$bench"
status=0
wait "$bench" || status=$?
[[ $status == 1 ]] || fail "an interrupted run ended with $status: $(cat "$work/interrupted.err")"
[[ -z $(ls -A "$work/data") ]] || fail "an interrupted run left $(ls -A "$work/data")"

kill -TERM "$server"
wait "$server" || fail "the server given ended with $?"

# What cannot work says so, with the exit codes of the command vigil.
expect() {
    local wanted=$1 status=0
    shift
    "$VIGIL_BENCH" "$@" >/dev/null 2>"$work/refused.err" || status=$?
    [[ $status == "$wanted" ]] || fail "$*: exit $status instead of $wanted"
    [[ -s $work/refused.err ]] || fail "$*: no message"
}
expect 2 no-such-command
expect 2 put --clients 0
expect 2 put --no-such-option
expect 2 atomic --way guess
expect 2 watch --rounds --distinct --data "$work/data"
expect 2 grown --records 5K --data "$work/data"
expect 2 beside --watchers 0 --data "$work/data"
expect 2 atomic --rate 5 --data "$work/data"
expect 2
expect 6 put --server "ipc://$work/nobody" --no-yardstick --data "$work/data"
expect 1 put --data "$work/no-such-folder"
VIGILD=$work/no-such-vigild expect 1 put --data "$work/data"
[[ -z $(ls -A "$work/data") ]] || fail "a failed start left $(ls -A "$work/data")"
