#!/usr/bin/env bash
# ctest: TIMEOUT=120
# wait: the present value, the next one, past ones, those that lasted for a moment; time-outs.
. "$(dirname "$0")/lib_cli.sh"
start_server

expect 0 put k '{"state":"new","n":1}'

# The present value.
expect 0 wait k
out_is '{"seq":1,"key":"k","present":true,"value":{"state":"new","n":1},"created":1,"version":1,"as_of":1}'
expect 0 wait k --until '.state == "new"'
out_has '.present and .seq == 1'
expect 0 wait none --until '. == null'
out_has '.present == false and .key == "none" and .as_of == 1'
expect 0 wait k -u '.n > 0 and (.state | test("^n"))'

# Time-outs.
expect 4 wait none --timeout 100ms
err_has 'timed out'
out_is ''
expect 4 wait k --until '.state == "old"' --timeout 100ms
expect 4 wait k --change --timeout 100ms
expect 4 wait k --until 'empty' --timeout 0

# An expression that fails on the value is no end.
expect 4 wait k --until '. > 5 | error("no")' --timeout 100ms
expect 4 wait k --until '.n.x' --timeout 100ms
err_has 'counts as false'

# waiting NAME ARGUMENT...: starts a wait, and returns once its stream is open.
streams() {
    [[ $("$VIGIL" status --json | jq .streams) == "$1" ]]
}
waiting() {
    local name=$1
    shift
    until_true 40 streams 0
    "$VIGIL" wait "$@" >"$dir/$name" 2>"$dir/$name.err" &
    waiter=$!
    started+=("$waiter")
    until_true 20 streams 1
}

# A key that comes.
waiting comes new/key --timeout 30s
expect 0 put new/key '"here"'
wait_for_exit 0 "$waiter"
jq -e '.op == "put" and .value == "here" and .prev_seq == 0' "$dir/comes" >/dev/null || fail "$(cat "$dir/comes")"

# A key that goes.
waiting goes k2 --until '. == null' --timeout 30s --change
expect 0 put k2 1
expect 0 del k2
wait_for_exit 0 "$waiter"
jq -e '.op == "delete" and .key == "k2"' "$dir/goes" >/dev/null || fail "$(cat "$dir/goes")"

# Any change, also to the same value.
waiting change k --change --timeout 30s
expect 0 put k '{"state":"new","n":1}'
wait_for_exit 0 "$waiter"
jq -e '.op == "put" and .prev_seq == 1' "$dir/change" >/dev/null || fail "$(cat "$dir/change")"

# A value that one load sets and overwrites in the same batch.
awk 'BEGIN { for (i = 1; i <= 2000; i++) printf "{\"key\":\"moment\",\"value\":%d}\n", i }' >"$dir/moments"
for wanted in 1 777 1999; do
    waiting moment moment --until ". == $wanted" --change --timeout 60s
    expect 0 load "$dir/moments"
    wait_for_exit 0 "$waiter"
    jq -e ".value == $wanted" "$dir/moment" >/dev/null || fail "$(cat "$dir/moment")"
done

# Past ones: --since.
expect 0 wait moment --until '. == 5' --since oldest --timeout 30s
out_has '.value == 5 and .op == "put"'
first=$(jq .seq <<<"$out")
expect 0 wait moment --until '. == 5' --since "$first" --timeout 30s
out_has ".seq == $first + 2000"
expect 0 wait k --since 0 --timeout 30s
out_has '.seq == 1 and .op == "put"'
expect 4 wait k --since now --until '.state == "gone"' --timeout 100ms

# The server goes away and comes back: the wait does not end, and sees what it waits for.
waiting survivor after/restart --timeout 60s
stop_server
start_server
expect 0 put after/restart true
wait_for_exit 0 "$waiter"
jq -e '.value == true' "$dir/survivor" >/dev/null || fail "$(cat "$dir/survivor")"

expect 5 wait k --since 99999999 --timeout 30s
err_has 'POSITION_AHEAD'

stop_server
expect 6 wait k --connect-timeout 200ms
