#!/usr/bin/env bash
# ctest: TIMEOUT=120
# What cannot be delivered is said, with its exit code, and never looks like a quiet stream: compacted,
# another epoch, a position ahead, a server that cannot be reached, one that is lost.
. "$(dirname "$0")/lib_cli.sh"
start_server
for i in {1..20}; do echo "{\"key\":\"k/$((i % 2))\",\"value\":$i}"; done | "$VIGIL" load >/dev/null
epoch=$("$VIGIL" status --json | jq -r .epoch)

# A position that the journal no longer reaches back to: 5, with oldest, head and epoch.
expect 0 watch --cursor "$dir/cursor" --since 0 --count 5
expect 0 compact --before 11
for start in '--since 0' '--since 9' "--since $epoch:9" "--cursor $dir/cursor"; do
    # shellcheck disable=SC2086
    expect 5 watch $start --timeout 30s
    out_is ''
    err_has COMPACTED
    err_has oldest=11
    err_has head=20
    err_has "epoch=$epoch"
done
[[ $(cat "$dir/cursor") == "$epoch:5" ]] || fail "the cursor has moved: $(cat "$dir/cursor")"
# Also where nothing of what is gone matches: it is not known that nothing does.
expect 5 watch k/0 --since 9 --timeout 30s
expect 5 wait k/0 --until '. == 2' --since 0 --timeout 30s
err_has COMPACTED
# What is whole is delivered.
expect 0 watch --since 10 --until-seq 20
[[ $(jq .seq <<<"$out" | head -n 1) == 11 ]] || fail "--since 10: $out"
expect 0 watch --since oldest --count 1
out_has '.seq == 11'

# A watcher that is stopped while what it needs is compacted.
"$VIGIL" watch 'k/*' >"$dir/stopped" 2>"$dir/stopped.err" --cursor "$dir/stopped.cursor" &
pid=$!
started+=("$pid")
until_true 20 test -e "$dir/stopped.cursor"
kill -STOP "$pid"
awk 'BEGIN { for (i = 1; i <= 150000; i++) printf "{\"key\":\"k/1\",\"value\":%d}\n", i }' | "$VIGIL" load >/dev/null
expect 0 compact --before 150000
kill -CONT "$pid"
wait_for_exit 5 "$pid"
grep -q COMPACTED "$dir/stopped.err" || fail "a stopped watcher: $(cat "$dir/stopped.err")"
# What it had shown is the beginning, without a hole, and its cursor says where that ends.
jq .seq "$dir/stopped" | awk '$1 != NR + 20 { exit 1 }' || fail "a stopped watcher's lines have a hole"
[[ $(cat "$dir/stopped.cursor") == "$epoch:$(tail -n 1 "$dir/stopped" | jq .seq)" ]] ||
    fail "a stopped watcher's cursor: $(cat "$dir/stopped.cursor")"

# Beyond the newest record.
for start in '--since 999999' "--since $epoch:999999"; do
    # shellcheck disable=SC2086
    expect 5 watch $start --timeout 30s
    err_has POSITION_AHEAD
    err_has seq=999999
    err_has head=150020
done

# Another epoch: 5, with both.
other=00000000deadbeef
expect 5 watch --since $other:5 --timeout 30s
err_has EPOCH_CHANGED
err_has "epoch=$other"
err_has "epoch=$epoch"
echo $other:5 >"$dir/cursor"
expect 5 watch --cursor "$dir/cursor" --timeout 30s
err_has EPOCH_CHANGED
[[ $(cat "$dir/cursor") == "$other:5" ]] || fail "a cursor of another epoch was overwritten"
expect 5 wait k/0 --since $other:5 --timeout 30s
err_has EPOCH_CHANGED

# A journal that is replaced under a running watch.
"$VIGIL" watch --cursor "$dir/replaced.cursor" >"$dir/replaced" 2>"$dir/replaced.err" &
pid=$!
started+=("$pid")
until_true 20 test -e "$dir/replaced.cursor"
stop_server
until_true 20 grep -q 'the server is lost after seq' "$dir/replaced.err"
mv "$dir/data" "$dir/data.old"
start_server
wait_for_exit 5 "$pid"
grep -q "EPOCH_CHANGED.*epoch=$epoch.*epoch=" "$dir/replaced.err" || fail "a replaced journal: $(cat "$dir/replaced.err")"

# A server that comes back: the watch says both, and goes on.
expect 0 put x 1
"$VIGIL" watch --since 0 --until-seq 2 --timeout 60s >"$dir/back" 2>"$dir/back.err" &
pid=$!
started+=("$pid")
until_true 20 has_lines "$dir/back" 1
stop_server
until_true 20 grep -q 'the server is lost after seq 1' "$dir/back.err"
start_server
until_true 40 grep -q 'connected again' "$dir/back.err"
expect 0 put x 2
wait_for_exit 0 "$pid"
[[ $(jq -c .seq "$dir/back") == $'1\n2' ]] || fail "after a restart: $(cat "$dir/back")"
(($(wc -l <"$dir/back.err") == 2)) || fail "one loss, more notes: $(cat "$dir/back.err")"

# --no-reconnect: a lost server is exit code 6.
"$VIGIL" watch --since 0 --no-reconnect >"$dir/final" 2>"$dir/final.err" &
pid=$!
started+=("$pid")
until_true 20 has_lines "$dir/final" 2
kill_server
wait_for_exit 6 "$pid"
[[ -s $dir/final.err ]] || fail "--no-reconnect says nothing"

# Nobody there: 6, within the time-out, from every command that needs a server.
for command in 'put a 1' 'get a' 'del a' 'incr a' ls watch 'wait a' 'history a' 'load /dev/null' \
    'compact --before 1' status ping; do
    before=$SECONDS
    # shellcheck disable=SC2086
    expect 6 $command --connect-timeout 300ms
    ((SECONDS - before <= 10)) || fail "$command took $((SECONDS - before)) seconds"
    err_has "vigil: ${command%% *}: "
    err_has 'is vigild running there?'
    out_is ''
done
expect 6 -s tcp://127.0.0.1:1 ping --connect-timeout 300ms

# A server that hangs: it cannot be reached, and a load that is under way says what it does not know.
start_server
mkfifo "$dir/pipe"
"$VIGIL" load --request-timeout 1s <"$dir/pipe" >"$dir/loaded" 2>"$dir/load.err" &
pid=$!
started+=("$pid")
exec {pipe}>"$dir/pipe"
echo '{"key":"before","value":1}' >&"$pipe"
expect 0 wait before --timeout 30s
kill -STOP "$server_pid"
echo '{"key":"after","value":1}' >&"$pipe"
expect 6 ping --connect-timeout 300ms
status=0
wait "$pid" || status=$?
((status == 4 || status == 6)) || fail "a load on a server that hangs: exit code $status"
jq -e '.loaded == 1' "$dir/loaded" >/dev/null || fail "$(cat "$dir/loaded")"
grep -q 'whether lines 2 to 2 took effect is not known' "$dir/load.err" || fail "$(cat "$dir/load.err")"
exec {pipe}>&-
kill -CONT "$server_pid"
expect 0 ping
