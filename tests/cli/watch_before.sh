#!/usr/bin/env bash
# ctest: TIMEOUT=120
# watch --before: the value before each change, on replays and live, over compaction and a restart.
. "$(dirname "$0")/lib_cli.sh"
start_server

# A key's life, with a value that is null: it is not the same as no value.
expect 0 put a 1
expect 0 put a null
expect 0 put a '{"x":[2]}'
expect 0 del a
expect 0 put a '"back"'
expect 0 incr n 5
expect 0 incr n 2

expect 0 watch --before --since 0 --until-seq 7
[[ $(jq -c '[.op, .value, has("before"), .before]' <<<"$out") == '["put",1,false,null]
["put",null,true,1]
["put",{"x":[2]},true,null]
["delete",null,true,{"x":[2]}]
["put","back",false,null]
["put",5,false,null]
["put",7,true,5]' ]] || fail "before: $out"
out_has 'has("before_unknown") | not'
expect 0 watch --since 0 --until-seq 7
out_has 'has("before") or has("before_unknown") | not'

# Live, of keys that this watch has not seen before; among them several of one record.
live() {
    "$VIGIL" watch --before --cursor "$dir/live.cursor" --until-seq "$1" >"$dir/live.out" 2>"$dir/live.err" &
    live_pid=$!
    started+=("$live_pid")
    until_true 30 test -s "$dir/live.cursor"
}
live 9
expect 0 put a 8
"$VIGIL" load - <<<'{"txn":[{"key":"a","value":9},{"op":"delete","key":"n"},{"key":"new","value":0}]}' >/dev/null
wait "$live_pid" || fail "the live watch ended with $?: $(<"$dir/live.err")"
[[ $(jq -c '[.key, .before]' "$dir/live.out") == '["a","back"]
["a",8]
["n",7]
["new",null]' ]] || fail "live: $(<"$dir/live.out")"
[[ $(jq -c 'has("before")' "$dir/live.out") == $'true\ntrue\ntrue\nfalse' ]] || fail "live: $(<"$dir/live.out")"

# A restart of the server between the two changes of a key.
rm "$dir/live.cursor"
live 11
expect 0 put a 10
kill_server
start_server
expect 0 put a 11
wait "$live_pid" || fail "the watch over a restart ended with $?: $(<"$dir/live.err")"
[[ $(jq -c .before "$dir/live.out") == $'9\n10' ]] || fail "over a restart: $(<"$dir/live.out")"

# What was compacted is said to be unknown; what comes after it is known.
expect 0 put other 1
expect 0 compact --before 12
expect 0 put a 12
expect 0 put a 13
expect 0 watch --before --since oldest --until-seq 14
[[ $(jq -c '[.key, .before, .before_unknown]' <<<"$out") == '["other",null,null]
["a",null,true]
["a",12,null]' ]] || fail "after compaction: $out"
