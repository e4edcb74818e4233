#!/usr/bin/env bash
# ctest: TIMEOUT=240
# Named cursors: watch --name goes on where it was, whether it ended by itself, by a signal, or was
# killed in the middle of a load; the listing, deleting, and what else ends it.
# shellcheck source=tests/cli/lib_lossless.sh
. "$(dirname "$0")/lib_lossless.sh"
start_server --log-level warn

# position NAME: where the cursor stands; nothing if there is none.
position() {
    "$VIGIL" cursors "$1" 2>/dev/null | jq .position
}
stands_at() { # NAME SEQ
    [[ $(position "$1") == "$2" ]]
}

# ---- by itself ----
expect 0 cursors
out_is ''
for i in 1 2 3 4 5 6; do expect 0 put "k/$((i % 2))" "$i"; done
expect 0 watch 'k/*' --name billing --since oldest --count 2
[[ $(jq -c .seq <<<"$out") == $'1\n2' ]] || fail "first: $out"
expect 0 watch --name billing --count 3
[[ $(jq -c .seq <<<"$out") == $'3\n4\n5' ]] || fail "second: $out"
expect 0 watch 'k/*' --name billing --since 0 --until-seq 6
[[ $(jq -c .seq <<<"$out") == 6 ]] || fail "third: $out"
expect 4 watch --name billing --timeout 100ms
out_is ''

expect 0 cursors
out_has '.name == "billing" and .position == 6 and .lag == 0 and .patterns == ["k/*"]'
out_has '(.age_s | type) == "number" and .age_s >= 0 and .age_s < 600'
out_has '(.created | startswith("20")) and (.moved | startswith("20")) and .created <= .moved'
[[ $(jq -r .epoch <<<"$out") == "$("$VIGIL" status --json | jq -r .epoch)" ]] || fail "epoch: $out"
expect 0 put other 1
expect 0 cursors billing
out_has '.lag == 1'
expect 3 cursors billing nosuch
out_has '.name == "billing"'
err_has 'no cursor nosuch'

expect 3 watch 'other/*' --name billing
err_has '--delete billing'
expect 1 watch --name ''
expect 1 watch --name "$(printf 'x%.0s' {1..129})"
expect 3 cursors --delete nosuch
expect 0 watch --name temporary --until-seq 0
expect 3 cursors --delete nosuch temporary
expect 0 cursors
out_has '.name == "billing"'

# ---- what has not been written is not acknowledged ----
# The reader has gone before the watch begins; then a full disk.
status=0
{ "$VIGIL" watch 'k/*' --name deaf --since 0 --until-seq 6 2>"$dir/deaf.err"; echo $? >"$dir/deaf.code"; } |
    { exec <&-; until_true 20 test -s "$dir/deaf.code"; }
stands_at deaf 0 || fail "a reader that has gone: $("$VIGIL" cursors deaf)"
"$VIGIL" watch --name deaf --until-seq 6 >/dev/full 2>"$dir/deaf.err" || status=$?
((status == 1)) || fail "a full disk: exit code $status"
stands_at deaf 0 || fail "a full disk: $("$VIGIL" cursors deaf)"

# A reader that has stopped reading: what the pipe has not taken is not acknowledged; the signal ends
# it, and the next run begins with the record that was cut off.
expect 0 watch 'wide/*' --name stuck --until-seq 0
for i in {1..40}; do printf '{"key":"wide/%d","value":"%08000d"}\n' "$i" 0; done >"$dir/wide"
expect 0 load "$dir/wide"
mkfifo "$dir/stuck"
exec {stuck_fd}<>"$dir/stuck"
"$VIGIL" watch --name stuck >"$dir/stuck" 2>"$dir/stuck.err" &
started+=($!)
stuck=$!
fills_the_pipe() {
    awk '/^wchar:/ { written = $2 } END { exit written < 65536 }' "/proc/$stuck/io"
}
until_true 20 fills_the_pipe
kill -TERM "$stuck"
wait_for_exit 143 "$stuck"
timeout 2 cat <&"$stuck_fd" >"$dir/stuck.1" || true
exec {stuck_fd}>&-
"$VIGIL" watch --name stuck --until-seq "$("$VIGIL" status --json | jq .head)" >"$dir/stuck.2"
{ complete_lines "$dir/stuck.1" && cat "$dir/stuck.2"; } | jq .key | sort >"$dir/stuck.keys"
for i in {1..40}; do echo "\"wide/$i\""; done | sort >"$dir/wide.keys"
same "a watch that a signal ends in a write" "$dir/wide.keys" "$dir/stuck.keys"
((40 > $(wc -l <"$dir/stuck.2") && $(wc -l <"$dir/stuck.2") > 0)) || fail "nothing was cut off"

# ---- signals: no line is missing, none comes twice ----
# load_part FILE LINES: in the background; $load is its pid.
load_part() {
    make_load "$2" >"$1"
    "$VIGIL" load "$1" >/dev/null 2>"$1.err" &
    load=$!
    started+=("$load")
}
expect 0 watch 'k/*' --name signals --until-seq 0
first=$("$VIGIL" status --json | jq .head)
for run in 1 2 3 4 5 6; do
    "$VIGIL" watch --name signals >"$dir/signal.$run" 2>"$dir/signal.$run.err" &
    started+=($!)
    pid=$!
    load_part "$dir/load" 5000
    until_true 60 has_lines "$dir/signal.$run" $((run * 500))
    signal=$((run % 2 ? 15 : 2))
    kill -"$signal" "$pid"
    wait_for_exit $((128 + signal)) "$pid"
    wait "$load" || fail "load ended with $?"
done
last=$("$VIGIL" status --json | jq .head)
"$VIGIL" watch --name signals --until-seq "$last" >"$dir/signal.7"
cat "$dir"/signal.[1-7] | triples >"$dir/signals"
journal_lines 'k/*' "$last" | triples | awk -v from="$first" '$1 > from' >"$dir/journal"
same "a watch that signals end" "$dir/journal" "$dir/signals"
stands_at signals "$last" || fail "signals: $("$VIGIL" cursors signals)"

# ---- killed in the middle of a load ----
expect 0 watch 'k/*' --name killed --until-seq 0
first=$last
runs=12
for ((run = 1; run <= runs; run++)); do
    file=$dir/killed.$(printf %03d "$run")
    "$VIGIL" watch --name killed >"$file" 2>>"$dir/killed.err" &
    started+=($!)
    pid=$!
    load_part "$dir/load" 5000
    # With its first acknowledgement on the way; in the middle; with one that is due.
    until_true 60 has_lines "$file" $((run % 3 * 2000 + 1))
    kill -KILL "$pid"
    wait_for_exit 137 "$pid"
    wait "$load" || fail "load ended with $?"
done
last=$("$VIGIL" status --json | jq .head)
"$VIGIL" watch --name killed --until-seq "$last" >"$dir/killed.999"
previous=$first
for file in "$dir"/killed.[0-9]*; do
    complete_lines "$file" | triples >"$dir/run"
    # Each run is whole in itself, begins no later than after the one before, and no earlier than
    # where that one began.
    read -r begins ends < <(awk 'NR == 1 { first = $1 } NR > 1 && $1 <= last { exit 1 } { last = $1 }
        END { print first, last }' "$dir/run")
    ((begins <= previous + 1)) || fail "${file##*/} begins at $begins, after $previous"
    journal_lines 'k/*' "$ends" | triples | awk -v from="$begins" '$1 >= from' >"$dir/part"
    same "${file##*/}" "$dir/part" "$dir/run" >/dev/null
    cat "$dir/run" >>"$dir/killed"
    previous=$ends
done
journal_lines 'k/*' "$last" | triples | awk -v from="$first" '$1 > from' >"$dir/journal"
sort -n -u "$dir/killed" >"$dir/killed.unique"
same "a watch that was killed" "$dir/journal" "$dir/killed.unique"
echo "killed $runs times; $(($(wc -l <"$dir/killed") - $(wc -l <"$dir/killed.unique"))) lines came again"

# ---- other ends ----
"$VIGIL" watch --name billing >"$dir/taken" 2>"$dir/taken.err" &
started+=($!)
pid=$!
until_true 20 has_lines "$dir/taken" 1
expect 0 watch --name billing --until-seq 0
expect 0 put k/1 7
wait_for_exit 1 "$pid"
grep -q 'billing has been opened by another watcher' "$dir/taken.err" || fail "taken: $(cat "$dir/taken.err")"

"$VIGIL" watch --name billing >"$dir/deleted" 2>"$dir/deleted.err" &
started+=($!)
pid=$!
until_true 20 has_lines "$dir/deleted" 1
expect 0 cursors --delete billing
expect 0 put k/1 8
wait_for_exit 3 "$pid"
grep -q 'billing has been deleted' "$dir/deleted.err" || fail "deleted: $(cat "$dir/deleted.err")"
[[ $(wc -l <"$dir/deleted.err") == 1 ]] || fail "told twice: $(cat "$dir/deleted.err")"

# A server that is killed and started again, and one that cannot be told at the end.
"$VIGIL" watch 'r/*' --name restarted >"$dir/restarted" 2>"$dir/restarted.err" &
started+=($!)
pid=$!
until_true 20 stands_at restarted "$("$VIGIL" status --json | jq .head)"
expect 0 put r/1 1
until_true 20 has_lines "$dir/restarted" 1
kill_server
start_server --log-level warn
seq=$("$VIGIL" put r/2 2)
until_true 60 has_lines "$dir/restarted" 2
kill -TERM "$pid"
wait_for_exit 143 "$pid"
stands_at restarted "$seq" || fail "restarted: $("$VIGIL" cursors restarted)"
expect 0 put r/3 3
"$VIGIL" watch --name restarted --request-timeout 300ms >"$dir/lost" 2>"$dir/lost.err" &
started+=($!)
pid=$!
until_true 20 has_lines "$dir/lost" 1
seq=$("$VIGIL" put r/4 4)
until_true 20 has_lines "$dir/lost" 2
kill_server
kill -TERM "$pid"
wait_for_exit 143 "$pid"
start_server --log-level warn
(($(position restarted) <= seq)) || fail "lost: $("$VIGIL" cursors restarted)"

# What a cursor needs and the journal no longer has.
last=$("$VIGIL" status --json | jq .head)
expect 0 watch --name late --since 5 --until-seq 5
expect 0 compact --before $((last - 1))
expect 5 watch --name late --timeout 20s
err_has 'vigil cursors --delete late'
err_has "oldest=$((last - 1)) head=$last epoch="
expect 0 cursors --delete late
expect 0 watch --name late --since oldest --count 1
stop_server
