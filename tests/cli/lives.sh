#!/usr/bin/env bash
# ctest: TIMEOUT=240
# Keys that end: put --ttl, put --session until a signal, the end of a pipe, a kill, or the loss of
# the lease; and what becomes of them while the server is away.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"
start_server

absent() {
    [[ $("$VIGIL" get "$1" 2>/dev/null; echo $?) == 3 ]]
}
last_op() { # KEY: of its newest record
    "$VIGIL" history "$1" | tail -n 1 | jq -r '.op // .changes[0].op'
}
# hold KEY [OPTION]...: a put --session in the background; returns once the key is there. Its pid is $held.
hold() {
    local key=$1
    shift
    "$VIGIL" put --session "$key" 1 "$@" </dev/null >"$dir/hold.out" 2>"$dir/hold.err" &
    held=$!
    started+=("$held")
    until_true 60 "$VIGIL" get "$key" >/dev/null 2>&1
}
ended() {
    local status=0
    wait "$held" || status=$?
    [[ $status == "$1" ]] || fail "put --session ended with $status: $(cat "$dir/hold.err")"
}

# ---- a time to live ----
expect 0 put --ttl 300ms short 1
expect 0 put --ttl 1h long 1
expect 0 put --ttl 300ms saved 1
expect 0 put saved 2
until_true 60 absent short
[[ $(last_op short) == expire ]] || fail "the end of short: $(last_op short)"
expect 0 get long
expect 0 get saved
expect 0 put --ttl 1h again 1 --if-absent
expect 3 put --ttl 1h again 2 --if-absent
expect 0 put --ttl 1h again 2 --if-value 1 --meta
out_has '.seq > .prev_seq and .prev_seq > 0'
expect 2 put --ttl 0 k 1
err_has '1ms'
expect 2 put --ttl soon k 1
expect 0 status --json
# On a busy machine saved may have ended before it was put again.
out_has '.lives == 2 and .leases == 0 and (.expired == 1 or .expired == 2)'

# ---- a session ----
for signal in INT TERM; do
    hold session
    [[ $(jq . <"$dir/hold.out") -gt 0 ]] || fail "the seq: $(cat "$dir/hold.out")"
    kill -"$signal" "$held"
    ended 0
    absent session || fail "the key is there after SIG$signal"
    [[ $(last_op session) == expire ]] || fail "the end of session: $(last_op session)"
done

# The end of a pipe ends it; that of /dev/null, or of what the value was read from, does not.
mkfifo "$dir/pipe"
"$VIGIL" put --session piped 1 <"$dir/pipe" >"$dir/hold.out" 2>"$dir/hold.err" &
held=$!
started+=("$held")
exec 7>"$dir/pipe"
until_true 60 "$VIGIL" get piped >/dev/null
echo 'whatever it is' >&7
expect 0 get piped
exec 7>&-
ended 0
absent piped || fail 'the key is there after the end of the pipe'
echo '"from a pipe"' | "$VIGIL" put --session read - >"$dir/hold.out" 2>"$dir/hold.err" &
held=$!
started+=("$held")
until_true 60 "$VIGIL" get read >/dev/null
kill -TERM "$held"
ended 0

# Killed: the key ends after --ttl, and not before.
hold killed --ttl 2s
before=$(date +%s%N)
kill -KILL "$held"
ended 137
expect 0 get killed
until_true 60 absent killed
(($(date +%s%N) - before > 1000000000)) || fail 'the key ended early'

# A condition that does not hold leaves nothing behind.
expect 3 put --session long 1 --if-absent
expect 2 put --session k 1 --ttl 100ms
err_has '1s'
expect 0 status --json
out_has '.leases == 0'

# ---- kills of the server ----
hold kept --ttl 3s
expect 0 put --ttl 1ms gone 1
kill_server
start_server
until_true 60 absent gone
expect 0 get kept
expect 0 get long
kill -TERM "$held"
ended 0
absent kept || fail 'kept is there'

# Stopped for too long: it finds that out, and says so.
hold lost --ttl 1s
kill -STOP "$held"
until_true 60 absent lost
kill -CONT "$held"
ended 1
grep -q 'put it again' "$dir/hold.err" || fail "the loss: $(cat "$dir/hold.err")"

stop_server
expect 0 verify "$dir/data"
