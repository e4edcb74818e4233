#!/usr/bin/env bash
# ctest: TIMEOUT=120 PROCESSORS=2
# vigil-peer-etcd against an etcd of its own: puts, watchers, replay, and what the server refuses. Skipped
# where it was not built (VIGIL_BENCH_PEERS) or etcd is not installed.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib_peers.sh"

peer_program etcd
etcd=$(command -v etcd) || exit 77

# etcd does not tell which ports it has taken, so it is given two; where others have them, it ends.
start_etcd() {
    local try port
    for ((try = 0; try < 10; try++)); do
        port=$((20000 + RANDOM % 6000 * 2))
        address=127.0.0.1:$port
        start "$etcd" --name test --data-dir "$dir/data" --max-request-bytes 150000 \
            --listen-client-urls "http://$address" --advertise-client-urls "http://$address" \
            --listen-peer-urls "http://127.0.0.1:$((port + 1))" \
            --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
            --initial-cluster "test=http://127.0.0.1:$((port + 1))" --logger zap --log-level error
        while kill -0 "$server_pid" 2>/dev/null; do
            "$program" put --server "$address" --duration 1ms --warmup 0s >"$dir/ready" 2>&1 && return
            sleep 0.05
        done
        wait "$server_pid" || true
        grep -q 'address already in use' "$dir/server.log" || fail "$(cat "$dir/server.log")"
    done
    fail "found no free ports"
}

start_etcd
short=(--server "$address" --duration 300ms --warmup 100ms)

# The program itself fails unless all watchers have got all changes.
measure put "${short[@]}" --clients 4 --depth 8 --keys 100 --watchers 3 --row w3
has '.peer == "etcd"' '.row == "w3"' '.lost == 0' '.deliveries >= 3 * .ops' '.delivery_p50_us > 0' \
    '.watch_ended == 0'
# Larger than a frame of HTTP/2 and than the windows that a connection begins with.
measure put "${short[@]}" --size 65536 --depth 4 --watchers 1
has '.lost == 0' '.deliveries >= .ops'
measure put "${short[@]}" --clients 2 --depth 64 --rate 200 --watchers 1
has '.mode == "paced"' '.lost == 0' '.deliveries >= .ops' '.ops <= 80'
measure put "${short[@]}" --replay --records 1000 --runs 2
has '.mode == "replay"' '.ops == 2000'

# What the server refuses is said in its words.
refused 1 put "${short[@]}" --size 200000
grep -q 'request is too large' "$dir/errors" || fail "$(cat "$dir/errors")"
! "$program" put --server nobody 2>"$dir/errors" || fail "an address that is none"
grep -q "'nobody' is no HOST:PORT" "$dir/errors" || fail "$(cat "$dir/errors")"
refused 6 put --server 127.0.0.1:1

# A server that dies is told of at once, not waited for.
"$program" put --server "$address" --duration 60s --clients 2 --depth 4 --watchers 1 \
    >"$dir/result" 2>"$dir/errors" &
load_pid=$!
until pgrep -P "$load_pid" >/dev/null; do
    kill -0 "$load_pid" 2>/dev/null || fail "the load has ended: $(cat "$dir/errors")"
    sleep 0.05
done
kill -KILL "$server_pid"
wait "$server_pid" || true
server_pid=
status=0
wait "$load_pid" || status=$?
[[ $status != 0 && -s $dir/errors ]] || fail "a dead server: exit $status: $(cat "$dir/errors")"
