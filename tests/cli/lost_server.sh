#!/usr/bin/env bash
# ctest: TIMEOUT=120
# A server that is lost, comes back, hangs, or is not there: what is said, and with which exit code.
. "$(dirname "$0")/lib_cli.sh"
start_server

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

stop_server
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
