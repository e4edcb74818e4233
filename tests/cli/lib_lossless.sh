# shellcheck shell=bash disable=SC2034,SC2154
# Fixtures of the lossless tests, on top of lib_cli.sh: a numbered load, and the comparison of what a
# watcher printed with what the journal has. Sourced by tests; expects VIGILD and VIGIL.

# shellcheck source=tests/cli/lib_cli.sh
source "${BASH_SOURCE[0]%/*}/lib_cli.sh"
export LC_ALL=C # sed and awk are much faster on bytes

# A sanitizer makes everything about ten times slower: fewer changes, the same situations.
# (No grep -q: it would end nm by SIGPIPE, which pipefail takes for a no.)
sanitized=
if nm -D "$VIGILD" 2>/dev/null | grep __asan_init >/dev/null; then
    sanitized=yes
    changes=${VIGIL_TEST_CHANGES:-40000}
else
    changes=${VIGIL_TEST_CHANGES:-200000}
fi

# make_load N > FILE: change i sets key k/(i mod 10) to i.
make_load() {
    awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) printf "{\"key\":\"k/%d\",\"value\":%d}\n", i % 10, i }'
}

# triples < LINES: "seq key value" of each change line; a line of another form shows as itself.
triples() {
    awk -F'[:,"]+' '$2 == "seq" && $4 == "op" && $6 == "key" && $8 == "value" { print $3, $7, $9; next } { print }'
}

# complete_lines FILE: without a last line that a kill has cut off.
complete_lines() {
    if [[ -s $1 && -n $(tail -c 1 "$1") ]]; then
        sed '$d' "$1"
    else
        cat "$1"
    fi
}

# The journal's own account, read with no server and no stream: through verify, then by replay.
journal_lines() {
    "$VIGIL" watch "$1" --since 0 --until-seq "$2" 2>>"$dir/reference.err"
}

# same NAME EXPECTED ACTUAL
same() {
    cmp -s "$2" "$3" || {
        diff "$2" "$3" | head -n 10 >&2 || true
        fail "$1: $(wc -l <"$3") lines instead of $(wc -l <"$2"), or others"
    }
    echo "ok: $1: $(wc -l <"$3") changes"
}

# anonymous memory of a process in KiB
anonymous_kib() {
    awk '/^RssAnon:/ { print $2 }' "/proc/$1/status"
}

# run_killed_watcher FILE_PREFIX UNTIL PATTERN: a watcher that is killed every 200 ms and goes on from
# its cursor, until it has ended by itself; each run writes a file of its own.
run_killed_watcher() {
    local prefix=$1 until=$2 pattern=$3 run=0 pid killer status
    while :; do
        run=$((run + 1))
        sed 's/.*://' "$prefix.cursor" >"$prefix.$(printf %05d "$run").from" 2>/dev/null || true
        "$VIGIL" watch "$pattern" --since 0 --cursor "$prefix.cursor" --until-seq "$until" \
            >"$prefix.$(printf %05d "$run")" 2>>"$prefix.err" &
        pid=$!
        (sleep 0.2 && kill -KILL "$pid") 2>/dev/null &
        killer=$!
        status=0
        wait "$pid" 2>/dev/null || status=$?
        kill "$killer" 2>/dev/null || true
        case $status in
        0) break ;;
        137 | 6) ;; # killed; or the server is just down
        *) return "$status" ;;
        esac
    done
    echo "$run" >"$prefix.runs"
}

# Joins the runs of a killed watcher and prints each change once. Fails where a run repeats itself, falls
# back in order, or shows what its cursor had already passed when it started.
join_killed_runs() {
    local prefix=$1 file
    for file in "$prefix".[0-9][0-9][0-9][0-9][0-9]; do
        echo "RUN $(cat "$file.from")"
        complete_lines "$file" | triples
    done | awk '
        $1 == "RUN" { previous = $2; next }
        $1 <= previous { print "repeated or out of order: " $0 > "/dev/stderr"; exit 1 }
        { previous = $1 }
        $1 > last { print; last = $1 }'
}
