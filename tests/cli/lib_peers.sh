# shellcheck shell=bash
# For the tests of bench/peers: runs a peer's program shortly and looks at what it prints. Sourced; expects
# BUILD. No figure's size is judged.
#
#   peer_program NAME           its path in $program; exits with 77 if it was not built
#   start PROGRAM ARGUMENT...   a server in the background, its output in $dir/server.log; $server_pid
#   await COMMAND...            polls until the command succeeds, while the server lives
#   measure ARGUMENT...         runs $program; its JSON is then in $result, with all of the names
#   has JQ...                   what holds for $result
#   refused CODE ARGUMENT...    a run that fails with that code, and says why
#
# With VIGIL_TEST_KEEP in the environment the folder of a test that fails stays.

set -euo pipefail
: "${BUILD:?the build tree}"

dir=$(mktemp -d "${TMPDIR:-/tmp}/vigil-peer.XXXXXX")
program=
server_pid=
result=

# One list for all peers: bench/compare.sh and its table read these.
names='clients client_cpu_us_per_op deliveries deliveries_per_s delivery_max_us delivery_p50_us
    delivery_p90_us delivery_p999_us delivery_p99_us depth keys lost machine max_us mode operation ops
    ops_per_s p50_us p90_us p999_us p99_us peer rate row seconds server server_cpu_cores
    server_cpu_us_per_op server_switches_per_op size unsent watch_ended watcher_cpu_us_per_op watchers'

clean_up() {
    local status=$?
    trap - EXIT
    if [[ -n $server_pid ]]; then
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    if ((status == 0 || status == 77)) || [[ -z ${VIGIL_TEST_KEEP:-} ]]; then
        rm -rf "$dir"
    fi
    exit "$status"
}
trap clean_up EXIT

fail() {
    echo "$*" >&2
    exit 1
}

peer_program() {
    program=$BUILD/bin/vigil-peer-$1
    [[ -x $program ]] || {
        echo "vigil-peer-$1 was not built"
        exit 77
    }
}

start() {
    "$@" >"$dir/server.log" 2>&1 &
    server_pid=$!
}

await() {
    until "$@" >/dev/null 2>&1; do
        kill -0 "$server_pid" 2>/dev/null || fail "the server has ended: $(cat "$dir/server.log")"
        sleep 0.05
    done
}

measure() {
    "$program" "$@" --server-pid "$server_pid" >"$dir/result" 2>"$dir/errors" ||
        fail "$*: exit $?: $(cat "$dir/errors")"
    [[ $(wc -l <"$dir/result") == 1 && ! -s $dir/errors ]] || fail "$*: $(cat "$dir/errors" "$dir/result")"
    result=$(cat "$dir/result")
    # shellcheck disable=SC2086  # a list of words
    jq -e --arg names "$(printf '%s\n' $names | sort | tr '\n' ' ')" \
        '[keys_unsorted[] | tostring] | sort | join(" ") + " " == $names' <<<"$result" >/dev/null ||
        fail "$*: other names: $result"
    has '.ops > 0' '.ops_per_s > 0' '.max_us >= .p50_us and .p50_us > 0' '.client_cpu_us_per_op > 0' \
        '.server_cpu_us_per_op > 0' '.unsent == 0'
}

has() {
    local expression
    for expression in "$@"; do
        jq -e "$expression" <<<"$result" >/dev/null || fail "not $expression: $result"
    done
}

refused() {
    local wanted=$1 status=0
    shift
    "$program" "$@" >"$dir/result" 2>"$dir/errors" || status=$?
    [[ $status == "$wanted" && -s $dir/errors && ! -s $dir/result ]] ||
        fail "$*: exit $status instead of $wanted: $(cat "$dir/errors" "$dir/result")"
}
