# shellcheck shell=bash disable=SC2034
# Fixtures of the tests of the command `vigil`: a server in a folder of its own, and calls whose exit code,
# output and errors are looked at. Sourced by tests; expects VIGILD and VIGIL.
#
#   start_server [OPTION]...      returns once it is ready; its pid is $server_pid
#   expect CODE ARGUMENT...       runs vigil; its output is then in $out, its errors in $err
#   out_is TEXT, err_has TEXT     what $out is, what $err has in it
#   out_has JQ, out_has_any JQ    what holds for each line of $out, or for one
#   until_true SECONDS COMMAND... polls until the command succeeds
#
# With VIGIL_TEST_KEEP in the environment the folder of a test that fails stays.

set -euo pipefail
: "${VIGILD:?path of vigild}" "${VIGIL:?path of vigil}"

dir=$(mktemp -d "${TMPDIR:-/tmp}/vigil-cli.XXXXXX")
export VIGIL_SERVER="ipc://$dir/s"
server_pid=
started=() # processes of this test that may still run
out=
err=

clean_up() {
    local status=$? pid
    trap - EXIT
    for pid in "${started[@]}"; do
        kill -CONT "$pid" 2>/dev/null && kill -KILL "$pid" 2>/dev/null
    done
    [[ -z $server_pid ]] || kill -TERM "$server_pid" 2>/dev/null || true
    wait 2>/dev/null || true
    if ((status != 0)) && [[ -n ${VIGIL_TEST_KEEP:-} ]]; then
        echo "kept: $dir" >&2
    else
        rm -rf "$dir"
    fi
    exit "$status"
}
trap clean_up EXIT

fail() {
    local frame log
    echo "FAILED: $*" >&2
    for ((frame = 1; frame < ${#FUNCNAME[@]}; frame++)); do
        echo "  at ${BASH_SOURCE[frame]##*/}:${BASH_LINENO[frame - 1]}" >&2
    done
    for log in "$dir"/*.err; do
        [[ ! -s $log ]] || { echo "--- ${log##*/}" && tail -n 20 "$log"; } >&2
    done
    exit 1
}

start_server() {
    rm -f "$dir/ready"
    mkfifo "$dir/ready"
    "$VIGILD" --listen "$VIGIL_SERVER" --data "$dir/data" --log-level warn "$@" \
        >"$dir/ready" 2>>"$dir/vigild.err" &
    server_pid=$!
    local line=
    read -r -t 60 line <"$dir/ready" || true
    [[ $line == ready* ]] || fail "vigild did not become ready: '$line'"
}

stop_server() {
    kill -TERM "$server_pid"
    wait "$server_pid" || fail "vigild ended with $?"
    server_pid=
}

kill_server() {
    kill -KILL "$server_pid"
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}

expect() {
    local wanted=$1 status=0
    shift
    "$VIGIL" "$@" >"$dir/out" 2>"$dir/err" || status=$?
    out=$(cat "$dir/out" && echo .) # the newlines at its end count too
    out=${out%.}
    err=$(cat "$dir/err")
    ((status == wanted)) || fail "vigil $*: exit code $status instead of $wanted; $out$err"
    if ((status == 0 || status == 3)); then
        [[ $err != *Sanitizer* ]] || fail "vigil $*: $err"
    fi
}

out_is() {
    [[ $out == "$1"$'\n' || ($1 == "" && $out == "") ]] || fail "output '$out' instead of '$1'"
}

err_has() {
    [[ $err == *"$1"* ]] || fail "errors '$err' lack '$1'"
}

# A jq expression that holds for each line of the output; for one of them.
out_has() {
    jq -es "length > 0 and all(.[]; $1)" <<<"$out" >/dev/null || fail "not $1: $out"
}

out_has_any() {
    jq -es "any(.[]; $1)" <<<"$out" >/dev/null || fail "no $1: $out"
}

until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= deadline)) || fail "timed out: $*"
        read -r -t 0.02 <> <(:) || true
    done
}

has_lines() { # FILE N
    [[ -e $1 ]] && (($(wc -l <"$1") >= $2))
}

# wait_for_exit CODE PID: its exit code has to be this.
wait_for_exit() {
    local status=0
    wait "$2" 2>/dev/null || status=$?
    ((status == $1)) || fail "process ended with $status instead of $1"
}
