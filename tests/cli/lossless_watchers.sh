#!/usr/bin/env bash
# ctest: TIMEOUT=240 LABELS=crash RUN_SERIAL
#
# Many changes over ten keys, as fast as `load` can, with watchers of every kind at once: an ordinary
# one, one on a single key, one stopped for five seconds, one killed every 200 ms, one that starts late.
# Each must have seen exactly what the journal has.
# shellcheck source=tests/cli/lib_lossless.sh
. "$(dirname "$0")/lib_lossless.sh"

declare -A pid_of
start_server --log-level warn
make_load "$changes" >"$dir/load"
awk '{ match($0, /k\/[0-9]+/); key = substr($0, RSTART, RLENGTH); print NR, key, NR }' "$dir/load" >"$dir/expected"
awk '$2 == "k/3"' "$dir/expected" >"$dir/expected.single"

watch_into() { # NAME PATTERN [option...]
    local name=$1
    shift
    "$VIGIL" watch "$@" --until-seq "$changes" >"$dir/$name" 2>"$dir/$name.err" &
    started+=($!)
    pid_of[$name]=$!
}
watch_into ordinary 'k/*' --since 0
watch_into single k/3 --since 0
watch_into stopped 'k/*' --since 0
run_killed_watcher "$dir/killed" "$changes" 'k/*' &
killed_pid=$!
started+=("$killed_pid")

memory_before=$(anonymous_kib "$server_pid")
"$VIGIL" load "$dir/load" >"$dir/loaded" 2>"$dir/load.err" &
load_pid=$!
started+=("$load_pid")

# Stop one watcher once the load is under way: when it has shown its first lines.
until [[ -s $dir/stopped ]]; do
    kill -0 "$load_pid" 2>/dev/null || break
    read -r -t 0.01 <> <(:) || true
done
kill -STOP "${pid_of[stopped]}"
stopped_at=$SECONDS

wait "$load_pid" || fail "load ended with $?"
echo "ok: load: $(cat "$dir/loaded")"
memory_after=$(anonymous_kib "$server_pid")

watch_into late 'k/*' --since oldest
wait "${pid_of[ordinary]}" || fail "ordinary watcher ended with $?"
wait "${pid_of[single]}" || fail "single-key watcher ended with $?"
wait "${pid_of[late]}" || fail "late watcher ended with $?"
while ((SECONDS - stopped_at < 5)); do
    read -r -t 0.2 <> <(:) || true
done
kill -0 "${pid_of[stopped]}" || fail "the stopped watcher is gone"
kill -CONT "${pid_of[stopped]}"
wait "${pid_of[stopped]}" || fail "stopped watcher ended with $?"
wait "$killed_pid" || fail "killed watcher ended with $?"

journal_lines 'k/*' "$changes" | triples >"$dir/journal"
same "journal" "$dir/expected" "$dir/journal"
triples <"$dir/ordinary" >"$dir/ordinary.seen"
same "ordinary watcher" "$dir/expected" "$dir/ordinary.seen"
triples <"$dir/single" >"$dir/single.seen"
same "single-key watcher" "$dir/expected.single" "$dir/single.seen"
triples <"$dir/stopped" >"$dir/stopped.seen"
same "stopped watcher" "$dir/expected" "$dir/stopped.seen"
triples <"$dir/late" >"$dir/late.seen"
same "late watcher" "$dir/expected" "$dir/late.seen"
join_killed_runs "$dir/killed" >"$dir/killed.seen"
same "watcher killed $(($(cat "$dir/killed.runs") - 1)) times" "$dir/expected" "$dir/killed.seen"

# A subscriber's queue holds 1024 messages of at most 8 KiB; the overlay and the batches have their bounds
# too. A sanitizer keeps freed memory aside, so there only the direction could be checked.
if [[ -z $sanitized ]]; then
    grown=$((memory_after - memory_before))
    echo "server memory: $memory_before KiB before, $memory_after KiB after the load"
    ((grown < 65536)) || fail "the server grew by $grown KiB"
fi

stop_server
"$VIGIL" verify "$dir/data" >"$dir/verified" 2>"$dir/verify.err" || fail "verify found problems: $(cat "$dir/verified")"
echo "ok: verify"
