#!/usr/bin/env bash
# Measures the figures of docs/performance.md and prints its tables, in Markdown, on standard output.
#
#   bench/first_figures.sh [FOLDER-OF-PROGRAMS]        (build/release/bin)
#
#   DATA=DIR       the disk that is measured (TMPDIR, else /var/tmp)
#   DURATION=TIME  of each measurement (10s)
#   RAW=FILE       takes each run's JSON object, one a line
#   ONLY=WORD...   of: put latency fanout filters replay start wait get atomic yardstick
#
# Takes about a quarter of an hour. The machine should have nothing else to do.
set -euo pipefail

bin=${1:-build/release/bin}
bench=$bin/vigil-bench
duration=${DURATION:-10s}
raw=${RAW:-/dev/null}
data=()
[[ -z ${DATA:-} ]] || data=(--data "$DATA")

[[ -x $bench ]] || {
    echo "first_figures: no $bench: build first, or name the folder of the programs" >&2
    exit 2
}

# measure ARGUMENT...: one run's object
measure() {
    echo "vigil-bench $*" >&2
    "$bench" "$@" "${data[@]}" --json | tee -a "$raw"
}

# row JQ-EXPRESSION...: the object on standard input as a line of a table
row() {
    local IFS=,
    jq -r "def n: if . == null then \"-\"
               elif . >= 1000000 then \"\(. / 10000 | round / 100) M\"
               elif . >= 10000 then \"\(. / 1000 | round) K\"
               elif . >= 100 then \"\(round)\"
               elif . >= 10 then \"\(. * 10 | round / 10)\"
               else \"\(. * 100 | round / 100)\" end;
        def ms: . / 1000 | n;
        [$*] | \"| \" + join(\" | \") + \" |\""
}

wanted() {
    [[ -z ${ONLY:-} || " $ONLY " == *" $1 "* ]]
}

figures_put() {
    local durability plan
    echo "| durability | clients × depth | puts/s | p50 ms | p99 ms | p99.9 ms | max ms | server CPU µs/put" \
        "| records/commit | echo/s | ratio to echo | ratio to bare appends |"
    echo "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for durability in power process; do
        for plan in 1:1 50:1 50:16 50:64; do
            measure put --durability $durability --clients "${plan%:*}" --depth "${plan#*:}" \
                --watchers 1 --duration "$duration" |
                row .durability '"\(.clients) × \(.depth)"' '(.ops_per_s|n)' '(.p50_us|ms)' '(.p99_us|ms)' \
                    '(.p999_us|ms)' '(.max_us|ms)' '(.server_cpu_us_per_op|n)' \
                    '(.records_per_commit|n)' '(.echo_per_s|n)' '(.ratio_echo|n)' '(.ratio_append|n)'
        done
    done
}

figures_latency() {
    local durability
    echo "| durability | rate/s | p50 µs | p90 µs | p99 µs | p99.9 µs | max µs | put acknowledged p50 µs" \
        "| echo round trip µs | p50 in round trips | echo at that rate µs | p50 in these |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for durability in power process; do
        measure watch --durability $durability --rate 1000 --duration "$duration" |
            row .durability '(.rate|n)' '(.p50_us|n)' '(.p90_us|n)' '(.p99_us|n)' '(.p999_us|n)' \
                '(.max_us|n)' '(.put_p50_us|n)' '(.echo_round_trip_us|n)' '(.ratio_round_trip|n)' \
                '(.paced_round_trip_us|n)' '(.ratio_paced_round_trip|n)'
    done
}

figures_fanout() {
    local watchers rate light
    echo "| watchers | deliveries/s | bare PUB/s | ratio | server CPU µs/put | p50 µs at a light load" \
        "| p99 µs | that load, puts/s |"
    echo "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for watchers in 1:1000 10:1000 100:200 1000:20; do
        rate=${watchers#*:}
        watchers=${watchers%:*}
        light=$(measure watch --durability process --watchers "$watchers" --rate "$rate" \
            --duration "$duration" --no-yardstick)
        measure watch --durability process --watchers "$watchers" --rate 0 --clients 4 --depth 64 \
            --duration "$duration" |
            jq -c --argjson light "$light" '.light = $light' |
            row .watchers '(.deliveries_per_s|n)' '(.fanout_per_s|n)' '(.ratio_fanout|n)' \
                '(.server_cpu_us_per_op|n)' '(.light.p50_us|n)' '(.light.p99_us|n)' '(.light.rate|n)'
    done
}

figures_filters() {
    local load
    echo "| load | durability | watchers of different keys | server CPU µs/put | with one watcher | ratio | deliveries |"
    echo "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for load in "--rate 0 --clients 50 --depth 16" "--rate 5000"; do
        # shellcheck disable=SC2086 # words
        measure watch --distinct --watchers 1000 --durability process $load --duration "$duration" |
            row "\"\`${load//\"/}\`\"" .durability .watchers '(.server_cpu_us_per_op|n)' \
                '(.server_cpu_us_per_op_one|n)' '(.server_cpu_us_per_op/.server_cpu_us_per_op_one|n)' \
                .deliveries
    done
}

figures_replay() {
    local records
    echo "| records | records/s | values MiB/s | server CPU µs/record | watcher CPU µs/record | bare scan/s | ratio |"
    echo "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for records in 100K 1M; do
        measure replay --durability process --records $records --size 100 |
            row '(.records|n)' '(.ops_per_s|n)' '(.value_mib_per_s|n)' '(.server_cpu_us_per_op|n)' \
                '(.watcher_cpu_us_per_op|n)' '(.scan_per_s|n)' '(.ratio_scan|n)'
    done
}

figures_start() {
    local records stop
    echo "| records | stopped by | ready after ms, p50 | max | bare start ms | ratio | memory MiB (anonymous) |"
    echo "| ---: | --- | ---: | ---: | ---: | ---: | ---: |"
    for records in 10K 5M; do
        for stop in "" --kill; do
            # shellcheck disable=SC2086 # nothing or one word
            measure restart --durability process --records $records --keys 100K $stop |
                row '(.records|n)' .stopped_by '(.p50_us|ms)' '(.max_us|ms)' '(.bare_start_us|ms)' \
                    '(.ratio_start|n)' '(.server_rss_anon_mib|n)'
        done
    done
}

figures_wait() {
    local durability
    echo "| durability | rate/s | p50 µs | p99 µs | p99.9 µs | max µs | p50 in round trips | in echoes at that rate |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for durability in power process; do
        measure wait --durability $durability --rate 200 --duration "$duration" |
            row .durability '(.rate|n)' '(.p50_us|n)' '(.p99_us|n)' '(.p999_us|n)' '(.max_us|n)' \
                '(.ratio_round_trip|n)' '(.ratio_paced_round_trip|n)'
    done
}

figures_get() {
    local plan
    echo "| clients × depth | gets/s | p50 ms | p99 ms | max ms | server CPU µs/get | echo/s | ratio to echo |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for plan in 1:1 50:1 50:64; do
        measure get --clients "${plan%:*}" --depth "${plan#*:}" --duration "$duration" |
            row '"\(.clients) × \(.depth)"' '(.ops_per_s|n)' '(.p50_us|ms)' '(.p99_us|ms)' '(.max_us|ms)' \
                '(.server_cpu_us_per_op|n)' '(.echo_per_s|n)' '(.ratio_echo|n)'
    done
}

figures_atomic() {
    echo "| durability | clients | keys | way | operations/s | p50 ms | p99 ms | runs/operation | server CPU µs/op" \
        "| ratio to put | echo/s | ratio to echo | ratio to bare appends |"
    echo "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    measure atomic --duration "$duration" | jq -c '.rows[]' |
        row .durability .clients .keys .way '(.ops_per_s|n)' '(.p50_us|ms)' '(.p99_us|ms)' \
            '(.runs_per_op|n)' '(.server_cpu_us_per_op|n)' '(.ratio_put|n)' '(.echo_per_s|n)' \
            '(.ratio_echo|n)' '(.ratio_append|n)'
}

figures_yardstick() {
    local object
    object=$(measure yardstick --duration 20s)
    jq -r '"\(.machine); \(.file_system); \(.transport)"' <<<"$object"
    echo
    echo "| part | figure |"
    echo "| --- | ---: |"
    row '"echo, 50 × 64, \(.message_size) B, messages/s"' '(.ops_per_s|n)' <<<"$object"
    row '"echo, 1 × 1, round trip p50 / p99 µs"' '"\(.echo_1x1_p50_us|n) / \(.echo_1x1_p99_us|n)"' <<<"$object"
    row '"PUB to one SUB, \(.record_size) B, messages/s"' '(.fanout_per_s|n)' <<<"$object"
    local batch
    for batch in 1 50 800 3200; do
        row "\"LMDB appends of \(.record_size) B, $batch a synced transaction, records/s\"" \
            "(.append_${batch}_per_s|n)" <<<"$object"
    done
    row '"LMDB scan, records/s"' '(.scan_per_s|n)' <<<"$object"
    row '"fdatasync of 4 KiB, p50 / p99 µs"' '"\(.fdatasync_p50_us|n) / \(.fdatasync_p99_us|n)"' <<<"$object"
    row '"start of a process with LMDB and a ROUTER, p50 ms"' '(.bare_start_p50_us|ms)' <<<"$object"
}

for part in yardstick put latency wait fanout filters replay start get atomic; do
    if wanted $part; then
        printf '\n### %s\n\n' "$part"
        "figures_$part"
    fi
done
