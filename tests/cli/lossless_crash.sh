#!/usr/bin/env bash
# ctest: TIMEOUT=240 LABELS=crash RUN_SERIAL
#
# The server is killed with SIGKILL in the middle of a load, several times, and started again: the load
# goes on by itself, each of its lines is in the journal once and in order, every watcher goes on by
# itself and has seen exactly what the journal has.
# shellcheck source=tests/cli/lib_lossless.sh
. "$(dirname "$0")/lib_lossless.sh"

kills=3
end_key=end/marker
declare -A pid_of
start_server --log-level warn
make_load "$changes" >"$dir/load"

# The watchers end at a marker that is put last.
watch_into() { # NAME PATTERN...
    local name=$1
    shift
    "$VIGIL" watch "$@" "$end_key" --since 0 >"$dir/$name" 2>"$dir/$name.err" &
    started+=($!)
    pid_of[$name]=$!
}
watch_into ordinary 'k/*'
watch_into single k/3

head_seq() {
    "$VIGIL" status --json | sed -E 's/.*"head": ?([0-9]+).*/\1/'
}

"$VIGIL" load "$dir/load" --request-timeout 60s >"$dir/loaded" 2>"$dir/load.err" &
load_pid=$!
started+=("$load_pid")
for ((kill = 1; kill <= kills; kill++)); do
    # Once the load has moved the head well on.
    goal=$((changes * kill / (kills + 2)))
    while (($(head_seq) < goal)); do
        kill -0 "$load_pid" 2>/dev/null || fail "the load has ended at kill $kill"
    done
    kill_server
    start_server --log-level warn
done
wait "$load_pid" || fail "load ended with $?"
acknowledged=$(sed -E 's/.*"loaded": ?([0-9]+).*/\1/' "$dir/loaded")
((acknowledged == changes)) || fail "the load acknowledged $acknowledged of $changes"

last=$("$VIGIL" put "$end_key" '"end"')
for name in ordinary single; do
    until grep -qs "$end_key" "$dir/$name"; do
        kill -0 "${pid_of[$name]}" || fail "$name watcher is gone"
        read -r -t 0.05 <> <(:) || true
    done
    kill -TERM "${pid_of[$name]}"
    wait "${pid_of[$name]}" 2>/dev/null || true
done

journal_lines '*' "$last" | triples >"$dir/journal"
{
    awk -v n="$changes" 'BEGIN { for (i = 1; i <= n; i++) print i, "k/" i % 10, i }'
    echo "$last $end_key \"end\""
} | tr -d '"' >"$dir/expected"
same "the load, over $kills kills" "$dir/expected" "$dir/journal"

triples <"$dir/ordinary" >"$dir/ordinary.seen"
same "ordinary watcher" "$dir/journal" "$dir/ordinary.seen"
triples <"$dir/single" >"$dir/single.seen"
awk -v end="$end_key" '$2 == "k/3" || $2 == end' "$dir/journal" >"$dir/journal.single"
same "single-key watcher" "$dir/journal.single" "$dir/single.seen"

stop_server
"$VIGIL" verify "$dir/data" >"$dir/verified" 2>"$dir/verify.err" || fail "verify found problems: $(cat "$dir/verified")"
echo "ok: verify"
