#!/usr/bin/env bash
# ctest: TIMEOUT=240 LABELS=crash RUN_SERIAL
#
# The server is killed with SIGKILL in the middle of a load, several times, and started again: what was
# acknowledged is there, every watcher goes on by itself and has seen exactly what the journal has.
# shellcheck source=tests/cli/lib_lossless.sh
. "$(dirname "$0")/lib_lossless.sh"

kills=3
end_key=end/marker
declare -A pid_of
start_server --log-level warn
make_load "$changes" >"$dir/load"

# The watchers end at a marker that is put last: how many records the loads make is not known before,
# because what was in doubt at a kill may have taken effect.
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

from=1
for ((kill = 1; kill <= kills + 1; kill++)); do
    tail -n +"$from" "$dir/load" >"$dir/rest"
    "$VIGIL" load "$dir/rest" >"$dir/loaded.$kill" 2>"$dir/load.$kill.err" &
    load_pid=$!
    started+=("$load_pid")
    if ((kill <= kills)); then
        # Kill it once this load has moved the head well on.
        goal=$(($(head_seq) + changes / (kills + 2)))
        while (($(head_seq) < goal)); do
            kill -0 "$load_pid" 2>/dev/null || break
        done
        kill_server
    fi
    status=0
    wait "$load_pid" || status=$?
    # Exit 6: the server was lost; 0: it had finished before.
    ((status == 0 || status == 6)) || fail "load ended with $status"
    acknowledged=$(sed -E 's/.*"loaded": ?([0-9]+).*/\1/' "$dir/loaded.$kill")
    to=$((from + acknowledged))
    awk -v from="$from" -v to="$to" 'NR >= from && NR < to' "$dir/load" >>"$dir/acknowledged"
    from=$to
    ((kill <= kills)) && start_server --log-level warn
done
((from == changes + 1)) || fail "the loads acknowledged $((from - 1)) of $changes"

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
# Without holes, and everything acknowledged in its order (what was in doubt may stand in between).
awk '$1 != NR { exit 1 }' "$dir/journal" || fail "the journal's seqs have a hole"
sed -E 's/.*"key":"([^"]*)","value":([0-9]+).*/\1 \2/' "$dir/acknowledged" >"$dir/acknowledged.pairs"
awk 'NR == FNR { want[NR] = $0; n = NR; next }
     i < n && $2 " " $3 == want[i + 1] { i++ }
     END { if (i < n) { print "acknowledged but missing: " want[i + 1]; exit 1 } }' \
    "$dir/acknowledged.pairs" "$dir/journal" || fail "something acknowledged is missing"
echo "ok: everything acknowledged is there: $((from - 1)) changes over $kills kills"

triples <"$dir/ordinary" >"$dir/ordinary.seen"
same "ordinary watcher" "$dir/journal" "$dir/ordinary.seen"
triples <"$dir/single" >"$dir/single.seen"
awk -v end="$end_key" '$2 == "k/3" || $2 == end' "$dir/journal" >"$dir/journal.single"
same "single-key watcher" "$dir/journal.single" "$dir/single.seen"

stop_server
"$VIGIL" verify "$dir/data" >"$dir/verified" 2>"$dir/verify.err" || fail "verify found problems: $(cat "$dir/verified")"
echo "ok: verify"
