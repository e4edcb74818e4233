#!/usr/bin/env bash
# ctest: TIMEOUT=120
#
# No end of a watch looks like a quiet stream: compacted, another journal, a position ahead, no server.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"

start_server
epoch() {
    "$VIGIL" status --json | jq -r .epoch
}
for i in 1 2 3 4 5 6 7 8 9 10; do
    expect 0 put "k/$i" "$i"
done

# Compacted: exit 5 with oldest and head, for a watch, a wait and a cursor; `oldest` is what there still is.
expect 0 watch --since 0 --count 3 --cursor "$dir/cursor"
expect 0 compact --before 6
for command in "watch --since 0" "watch k/1 --since 2" "watch --since $(epoch):4" "watch --cursor $dir/cursor" \
    "wait k/1 --since 0"; do
    # shellcheck disable=SC2086 # words
    expect 5 $command --timeout 20s
    out_is ""
    err_has 6
    err_has 10
done
expect 0 watch --since 5 --until-seq 10
out_has '.seq >= 6'
expect 0 watch --since oldest --until-seq 10
[[ $(wc -l <"$dir/out") == 5 ]] || fail "oldest: $out"

# A position beyond the head.
expect 5 watch --since 11 --timeout 20s
err_has 10
expect 5 watch --since "$(epoch):4000" --timeout 20s

# Another journal in its place: both epochs are named, whether the watch starts then or was there before.
first_epoch=$(epoch)
expect 0 watch --since 5 --until-seq 10 --cursor "$dir/cursor2"
"$VIGIL" watch --since 5 >"$dir/live" 2>"$dir/live.err" &
live=$!
started+=("$live")
until_true 20 has_lines "$dir/live" 5
stop_server
rm -rf "$dir/data"
start_server
second_epoch=$(epoch)
[[ $first_epoch != "$second_epoch" ]] || fail "the epochs are the same"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    expect 0 put "new/$i" "$i"
done
wait_for_exit 5 "$live"
err=$(cat "$dir/live.err")
err_has "$first_epoch"
err_has "$second_epoch"
[[ $(wc -l <"$dir/live") == 5 ]] || fail "lines of the new journal under the old position"
for command in "watch --cursor $dir/cursor2" "watch --since $first_epoch:10"; do
    # shellcheck disable=SC2086 # words
    expect 5 $command --timeout 20s
    out_is ""
    err_has "$first_epoch"
    err_has "$second_epoch"
done

# No server: exit 6 within the time given, at the start and in the middle.
"$VIGIL" watch --since 12 --no-reconnect >"$dir/lost" 2>"$dir/lost.err" &
lost=$!
started+=("$lost")
"$VIGIL" watch --since 12 --timeout 20s >"$dir/back" 2>"$dir/back.err" &
back=$!
started+=("$back")
expect 0 put seen 1
until_true 20 has_lines "$dir/lost" 1
until_true 20 has_lines "$dir/back" 1
kill_server
wait_for_exit 6 "$lost"
for command in "watch" "wait k" "get k" "put k 1" "ls" "status" "ping" "history k"; do
    # shellcheck disable=SC2086 # words
    expect 6 $command --connect-timeout 200ms
    out_is ""
    err_has "reach"
done
# The one that may reconnect says that it was lost, and goes on with what comes.
until_true 20 test -s "$dir/back.err"
start_server
expect 0 put seen 2
until_true 20 has_lines "$dir/back" 2
kill -TERM "$back"
wait "$back" 2>/dev/null || true
[[ $(jq -s 'map(.seq)' -c "$dir/back") == '[13,14]' ]] || fail "after the loss: $(cat "$dir/back")"
