#!/usr/bin/env bash
# ctest: TIMEOUT=120
# load: every kind of line, bad ones, refused ones, and a server that is lost.
. "$(dirname "$0")/lib_cli.sh"
start_server

# Each kind; blank lines; no newline at the end.
printf '%s\n' '{"key":"a","value":{"n":1}}' '' '{"op":"put","key":"b","value":null}' '   ' \
    '{"op":"incr","key":"n"}' '{"op":"incr","key":"n","by":-11}' '{"op":"delete","key":"b"}' \
    '{"txn":[{"key":"t1","value":1},{"op":"incr","key":"n","by":5},{"op":"delete","key":"a"}]}' >"$dir/in"
printf '{"key":"last","value":"ä"}' >>"$dir/in"
expect 0 load "$dir/in"
out_is '{"loaded":7,"seq":7}'
[[ -z $err ]] || fail "errors: $err"
expect 0 ls --values
[[ $(jq -c '[.key, .value]' <<<"$out") == $'["last","ä"]\n["n",-5]\n["t1",1]' ]] || fail "state: $out"
expect 0 watch --since 5 --until-seq 6
[[ $(jq -c '[.seq, .key, .part, .parts, .last]' <<<"$out") == '[6,"t1",1,3,null]
[6,"n",2,3,null]
[6,"a",3,3,true]' ]] || fail "the transaction's lines: $out"

# Standard input; nothing at all; deleting what is not there; a transaction that changes nothing.
expect 0 load - <"$dir/in"
out_is '{"loaded":7,"seq":14}'
expect 0 load <<<'{"op":"delete","key":"none"}'
out_is '{"loaded":1,"seq":14}'
expect 0 load </dev/null
out_is '{"loaded":0,"seq":0}'
expect 0 load <<<$'{"key":"x","value":1}\r'
expect 1 load "$dir/none"
err_has 'No such file'
expect 1 load "$dir"

# What watch and ls print can be loaded.
expect 0 watch --since 0 --until-seq 14
printf '%s' "$out" >"$dir/lines"
expect 0 load "$dir/lines"
expect 0 ls --values
printf '%s' "$out" >"$dir/lines"
expect 0 load "$dir/lines"

# A bad line: named, everything before it applied, nothing from it on.
bad() { # LINE REASON
    local head
    head=$("$VIGIL" status --json | jq .head)
    printf '%s\n' '{"key":"g","value":1}' '{"key":"g","value":2}' "$1" '{"key":"g","value":3}' >"$dir/in"
    expect 1 load "$dir/in"
    out_is "{\"loaded\":2,\"seq\":$((head + 2))}"
    err_has "$dir/in:3: "
    err_has "$2"
    err_has "2 mutations were applied, up to line 2 and seq $((head + 2))"
    expect 0 get g
    out_is 2
}
bad 'nonsense' 'no valid JSON'
bad '{"key":"g"' 'too early'
bad '{"key":"g"}' '"value" is missing'
bad '{"key":"","value":1}' '1 to 480 bytes'
bad '{"key":"g","value":18446744073709551616}' '64 bits'
bad '{"key":"g","vaule":3}' 'unknown member "vaule"'
bad '{"txn":[{"key":"x","value":1},{"key":"y"}]}' 'mutation 2 of "txn"'
bad '{"key":"g","value":"'"$(head -c 1100000 /dev/zero | tr '\0' x)"'"}' '1048576'
bad $'{"key":"g","value":"\xff"}' 'UTF-8'
# A line that the server refuses, with many behind it on their way.
expect 0 put text '"x"'
bad '{"op":"incr","key":"text"}' 'integer'
bad '{"txn":[{"key":"never","value":1},{"op":"incr","key":"text"}]}' 'integer'
expect 3 get never
{
    awk 'BEGIN { for (i = 1; i <= 5000; i++) printf "{\"key\":\"p\",\"value\":%d}\n", i }'
    echo '{"op":"incr","key":"text"}'
    awk 'BEGIN { for (i = 1; i <= 50000; i++) printf "{\"key\":\"q\",\"value\":%d}\n", i }'
} >"$dir/in"
expect 1 load "$dir/in"
out_has '.loaded == 5000'
err_has "$dir/in:5001: "
err_has 'up to line 5000'
expect 0 get p
out_is 5000
expect 3 get q

# Lines are applied while the input is still open.
mkfifo "$dir/pipe"
"$VIGIL" load <"$dir/pipe" >"$dir/loaded" &
pid=$!
started+=("$pid")
exec {pipe}>"$dir/pipe"
echo '{"key":"open/1","value":1}' >&"$pipe"
expect 0 wait open/1 --timeout 20s
printf '{"key":"open/2",' >&"$pipe"
printf '"value":2}\n{"key":"open/3","value":3}\n' >&"$pipe"
expect 0 wait open/3 --timeout 20s
exec {pipe}>&-
wait_for_exit 0 "$pid"
jq -e '.loaded == 3' "$dir/loaded" >/dev/null || fail "$(cat "$dir/loaded")"

# A signal ends it, and it says what was applied.
"$VIGIL" load <"$dir/pipe" >"$dir/loaded" 2>"$dir/load.err" &
pid=$!
started+=("$pid")
exec {pipe}>"$dir/pipe"
echo '{"key":"open/4","value":1}' >&"$pipe"
expect 0 wait open/4 --timeout 20s
kill -TERM "$pid"
wait_for_exit 143 "$pid"
exec {pipe}>&-
jq -e '.loaded == 1' "$dir/loaded" >/dev/null || fail "$(cat "$dir/loaded")"
grep -q 'stopped by a signal: 1 mutations were applied' "$dir/load.err" || fail "$(cat "$dir/load.err")"

# A large load, exactly once each and in order.
awk 'BEGIN { for (i = 1; i <= 100000; i++) printf "{\"op\":\"incr\",\"key\":\"sum\",\"by\":%d}\n", i }' >"$dir/in"
head=$("$VIGIL" status --json | jq .head)
expect 0 load "$dir/in"
out_is "{\"loaded\":100000,\"seq\":$((head + 100000))}"
expect 0 get sum
out_is 5000050000

# Large values one after another, more than any window holds in bytes.
value=$(head -c 500000 /dev/zero | tr '\0' y)
for i in {1..100}; do
    echo "{\"key\":\"large/$((i % 3))\",\"value\":\"$value\"}"
done | "$VIGIL" load >"$dir/loaded" || fail "large values: exit code $?"
jq -e '.loaded == 100' "$dir/loaded" >/dev/null || fail "$(cat "$dir/loaded")"

# The server is lost in the middle: what was acknowledged, what is in doubt.
awk 'BEGIN { for (i = 1; i <= 200000; i++) printf "{\"key\":\"lost\",\"value\":%d}\n", i }' >"$dir/in"
head=$("$VIGIL" status --json | jq .head)
"$VIGIL" load <"$dir/pipe" >"$dir/loaded" 2>"$dir/load.err" &
pid=$!
started+=("$pid")
exec {pipe}>"$dir/pipe"
cat "$dir/in" >&"$pipe"
expect 0 wait lost --timeout 20s
kill_server
exec {pipe}>&-
wait_status=0
wait "$pid" || wait_status=$?
loaded=$(jq .loaded "$dir/loaded")
if ((wait_status == 6)); then
    grep -q 'mutations were applied' "$dir/load.err" || fail "$(cat "$dir/load.err")"
else
    # The whole load was done before the server was killed.
    ((wait_status == 0 && loaded == 200000)) || fail "exit code $wait_status: $(cat "$dir/loaded" "$dir/load.err")"
fi
start_server
expect 0 get lost
((out >= loaded)) || fail "$loaded were acknowledged, $out are there"
if ((wait_status == 6)) && grep -q 'took effect is not known' "$dir/load.err"; then
    read -r from to < <(sed -nE 's/.*whether lines ([0-9]+) to ([0-9]+) took.*/\1 \2/p' "$dir/load.err")
    ((from == loaded + 1 && out >= from - 1 && out <= to)) || fail "in doubt $from to $to, there is $out"
fi
stop_server
expect 6 load "$dir/in" --connect-timeout 200ms
