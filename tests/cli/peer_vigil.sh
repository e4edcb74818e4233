#!/usr/bin/env bash
# ctest: TIMEOUT=120 PROCESSORS=2
# vigil-peer-vigil: a load in each of its ways runs, every watcher gets every change, and one object with
# the names that all peers share comes out.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib_peers.sh"
: "${VIGILD:?path of vigild}"

peer_program vigil
start "$VIGILD" --listen "ipc://$dir/s" --data "$dir/data" --durability process
address=ipc://$dir/s
await grep -q '^ready' "$dir/server.log"
short=(--server "$address" --duration 300ms --warmup 100ms)

# The program itself fails unless all watchers have got all changes.
measure put "${short[@]}" --clients 4 --depth 8 --keys 100 --watchers 3 --row w3
has '.peer == "vigil"' '.row == "w3"' '.mode == "closed"' '.lost == 0' '.deliveries % 3 == 0' \
    '.deliveries >= 3 * .ops' '.delivery_p50_us > 0' '.deliveries_per_s > 0' '.watcher_cpu_us_per_op > 0'
measure put "${short[@]}" --size 16
has '.size == 16' '.deliveries == 0' '.delivery_p50_us == null' '.watcher_cpu_us_per_op == null'
measure put "${short[@]}" --size 65536 --depth 4 --watchers 1 --server-pid "$server_pid,$server_pid"
has '.lost == 0' '.deliveries > 0'
# Counters have keys of their own, so that a put before does no harm; what a watcher gets has no time.
measure incr "${short[@]}" --clients 2 --keys 100 --watchers 1
has '.lost == 0' '.deliveries >= .ops' '.delivery_p50_us == null'
measure get "${short[@]}" --depth 4
# At 200 a second little is done while the client is awake.
measure put "${short[@]}" --clients 2 --depth 64 --rate 200 --watchers 1
has '.mode == "paced"' '.rate == 200' '.lost == 0' '.deliveries >= .ops' '.ops <= 80' '.client_cpu_us_per_op * .ops_per_s < 500000'

measure put "${short[@]}" --replay --records 5K --runs 3
has '.mode == "replay"' '.ops == 15000'
measure put "${short[@]}" --replay --records 2K --runs 1 --no-write
has '.ops == 2000'

"$program" --help >"$dir/help"
grep -q 'vigil-peer-vigil put --server' "$dir/help" || fail "no example in the help"
refused 2 put
refused 2 put --server "$address" --no-such
refused 2 put --server "$address" --size 15
refused 2 no-such --server "$address"
refused 2 get --server "$address" --watchers 1
refused 2 get --server "$address" --replay
refused 2 put --server "$address" --server-pid 1,
refused 6 put --server "ipc://$dir/nobody"

kill -TERM "$server_pid"
wait "$server_pid" || fail "the server ended with $?"
server_pid=
