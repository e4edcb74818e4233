#!/usr/bin/env bash
# ctest: TIMEOUT=120 PROCESSORS=2
# vigil-peer-redis against a Redis of its own: each operation, each way to watch, and replay. Skipped
# where it was not built (VIGIL_BENCH_PEERS) or Redis is not installed.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib_peers.sh"

peer_program redis
redis=$(command -v redis-server) || exit 77
start "$redis" --port 0 --unixsocket "$dir/s" --dir "$dir" --appendonly yes --appendfsync everysec --save ''
address=unix:$dir/s
await redis-cli -s "$dir/s" ping
short=(--server "$address" --duration 300ms --warmup 100ms)

for operation in set set-publish publish xadd set-xadd; do
    measure "$operation" "${short[@]}" --clients 4 --depth 8 --keys 100 --watchers 3 --row "$operation"
    has '.peer == "redis"' '.lost == 0' '.deliveries >= 3 * .ops' '.delivery_p50_us > 0' '.watch_ended == 0'
    # Redis cuts a subscriber off whose buffer is full: that is a result too.
    measure "$operation" "${short[@]}" --size 65536 --depth 4 --watchers 1
    has '(.lost == 0) == (.watch_ended == 0)'
done
measure incr "${short[@]}" --watchers 1
has '.lost == 0' '.delivery_p50_us == null'
measure get "${short[@]}" --depth 4
measure set-publish "${short[@]}" --clients 2 --depth 64 --rate 200 --watchers 1
has '.mode == "paced"' '.lost == 0' '.deliveries >= .ops' '.ops <= 80' '.client_cpu_us_per_op * .ops_per_s < 500000'
measure xadd "${short[@]}" --replay --records 5K --runs 2
has '.mode == "replay"' '.ops == 10000'
# Those that watched by notifications have switched them off again.
[[ $(redis-cli -s "$dir/s" config get notify-keyspace-events | tail -1) == "" ]] || fail "notifications are on"

# What the server refuses is said in its words.
redis-cli -s "$dir/s" set stream text >/dev/null
refused 1 xadd "${short[@]}"
grep -q WRONGTYPE "$dir/errors" || fail "$(cat "$dir/errors")"
refused 2 set --server "$address" --replay
refused 2 set --server nobody
refused 6 set --server "unix:$dir/nobody"

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with $?"
server_pid=
