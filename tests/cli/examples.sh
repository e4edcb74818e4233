#!/usr/bin/env bash
# The programs of docs/examples do what they say, on a server that is killed in between.
# ctest: TIMEOUT=120
set -euo pipefail

[[ -x $VIGILD && -d $VIGIL_EXAMPLES ]] || exit 77
[[ -x $VIGIL ]] || exit 77
folder=$(mktemp -d "${TMPDIR:-/tmp}/vigil-XXXXXX")
server=
children=()
finish() {
    local pid
    for pid in "${children[@]}" $server; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

export VIGIL_SERVER=ipc://$folder/s
start_server() {
    : >"$folder/ready"
    "$VIGILD" --listen "$VIGIL_SERVER" --data "$folder/data" --durability process \
        >"$folder/ready" 2>>"$folder/log" &
    server=$!
    until [[ -s $folder/ready ]]; do
        kill -0 "$server" || { cat "$folder/log" >&2; exit 1; }
        read -rt 0.02 <> <(:) || true
    done
}
expect() { # WHAT WANTED GOT
    [[ $2 == "$3" ]] || { printf '%s:\nwanted:\n%s\ngot:\n%s\n' "$1" "$2" "$3" >&2; exit 1; }
}
until_line() { # FILE PATTERN: the file is being written by a child
    for ((i = 0; i < 1000; i++)); do
        grep -q "$2" "$1" && return 0
        read -rt 0.02 <> <(:) || true
    done
    echo "no '$2' in $1:" >&2
    cat "$1" >&2
    exit 1
}
start_server

# Every transition, also those that were there before.
"$VIGIL" put light/a '"red"' >/dev/null
"$VIGIL" put light/a '"green"' >/dev/null
"$VIGIL" put dark 1 >/dev/null
"$VIGIL" put light/b 7 >/dev/null
"$VIGIL" del light/a >/dev/null
expect watch $'1 light/a "red"\n2 light/a "green"\n4 light/b 7\n5 light/a is gone' \
    "$("$VIGIL_EXAMPLES/watch_every_transition" light/ 4)"

# Resuming: three runs see each change once, with a crash of the server in between.
for n in 1 2 3; do "$VIGIL" put sum $n >/dev/null; done
expect resume $'6: 1, sum 1\n7: 2, sum 3' "$("$VIGIL_EXAMPLES/resume_after_restart" "$folder/at" sum 2)"
kill -KILL "$server"
wait "$server" || true
start_server
"$VIGIL" put sum 10 >/dev/null
expect resume $'8: 3, sum 6' "$("$VIGIL_EXAMPLES/resume_after_restart" "$folder/at" sum 1)"
expect resume $'9: 10, sum 16' "$("$VIGIL_EXAMPLES/resume_after_restart" "$folder/at" sum 1)"

# Waiting: for what is there, and for what comes and goes.
expect wait 'it is 10, since 9' "$("$VIGIL_EXAMPLES/wait_for_condition" sum 5 10000)"
"$VIGIL_EXAMPLES/wait_for_condition" sum 100 60000 >"$folder/wait" &
children+=($!)
for ((i = 0; i < 500; i++)); do # until the waiter has begun: before that it cannot have seen it
    "$VIGIL" put sum 100 >/dev/null
    "$VIGIL" put sum 13 >/dev/null
    [[ ! -s $folder/wait ]] || break
done
until_line "$folder/wait" 'it became 100 at \|it is 100, since '
if "$VIGIL_EXAMPLES/wait_for_condition" sum 1000 50 2>"$folder/err"; then exit 1; fi
grep -q TIMEOUT "$folder/err"

# The mirror follows, and answers from memory.
mkfifo "$folder/in"
"$VIGIL_EXAMPLES/mirror_event_loop" light/ <"$folder/in" >"$folder/out" 2>>"$folder/log" &
mirror=$!
children+=("$mirror")
exec 3>"$folder/in"
until_line "$folder/out" '^1 keys'
"$VIGIL" put light/c 3 >/dev/null
until_line "$folder/out" '^2 keys'
echo light/c >&3
until_line "$folder/out" '^light/c: 3 (at [0-9]*)'
exec 3>&-
wait "$mirror"
