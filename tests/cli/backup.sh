#!/usr/bin/env bash
# ctest: TIMEOUT=240
#
# Backups of a server that is being written to and compacted: each, restored, is the state and the history at its
# seq, as a watcher saw them; under a new epoch, that refuses positions of before. And what is no backup is refused.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"

main_pid=
main_server=$VIGIL_SERVER

# A second server, on what was restored: restored FILE, then done_with_it.
restored() {
    rm -rf "$dir/restored"
    main_pid=$server_pid
    started+=("$main_pid")
    export VIGIL_SERVER="ipc://$dir/r"
    rm -f "$dir/ready"
    mkfifo "$dir/ready"
    "$VIGILD" --listen "$VIGIL_SERVER" --data "$dir/restored" --restore "$1" >"$dir/ready" 2>"$dir/restored.err" &
    server_pid=$!
    started+=("$server_pid")
    local line=
    read -r -t 60 line <"$dir/ready" || true
    [[ $line == ready* ]] || fail "the restored server did not become ready: '$line'"
    grep -q "restored $1: " "$dir/restored.err" || fail "nothing in its log"
}
done_with_it() {
    stop_server
    expect 0 verify "$dir/restored"
    server_pid=$main_pid
    export VIGIL_SERVER=$main_server
}

# The state at seq $1 that the lines of a watch from the beginning make, as ls would show it.
state_at() {
    jq -cnS "reduce (inputs | select(.seq <= $1)) as \$c ({};
        if \$c.op == \"put\" then .[\$c.key] |= {value: \$c.value, seq: \$c.seq,
            created: (.created // \$c.seq), version: ((.version // 0) + 1)}
        else del(.[\$c.key]) end)
        | keys[] as \$k | {key: \$k} + .[\$k]" <"$dir/seen"
}

# same_as_seen FILE: what is restored from FILE is what was seen up to its seq, and from its oldest record on.
same_as_seen() {
    local seq oldest
    "$VIGIL" backup --check "$1" >"$dir/out" || fail "backup --check $1"
    out=$(cat "$dir/out")
    seq=$(jq .seq <<<"$out")
    oldest=$(jq .oldest <<<"$out")
    until_true 60 seen_up_to "$seq"
    restored "$1"
    expect 0 status --json
    out_has ".head == $seq and .oldest == $oldest"
    expect 0 ls --values
    LC_ALL=C diff <(jq -cS 'del(.as_of, .present)' <<<"$out") <(state_at "$seq") >"$dir/diff" ||
        fail "the state at $seq differs: $(head -n 5 "$dir/diff")"
    expect 0 watch --since oldest --until-seq "$seq"
    diff <(jq -cS . <"$dir/out") <(jq -cS "select(.seq >= $oldest and .seq <= $seq)" <"$dir/seen") >"$dir/diff" ||
        fail "the records up to $seq differ: $(head -n 5 "$dir/diff")"
    done_with_it
}
seen_up_to() {
    [[ $(tail -n 1 "$dir/seen" | jq .seq 2>/dev/null) -ge $1 ]]
}

# rests PID: it sleeps, and uses no time of a processor, for a tenth of a second.
rests() {
    local before after
    before=$(cut -d' ' -f3,14,15 "/proc/$1/stat")
    read -r -t 0.1 <> <(:) || true
    after=$(cut -d' ' -f3,14,15 "/proc/$1/stat")
    [[ $before == S* && $after == "$before" ]]
}

# Lines of every kind, as many as told.
many_lines() { # SEED COUNT
    awk -v seed="$1" -v count="$2" 'BEGIN {
        srand(seed)
        for (i = 1; i <= count; i++) {
            k = int(rand() * 300); kind = rand()
            if (kind < 0.15) printf "{\"op\":\"delete\",\"key\":\"k/%d\"}\n", k
            else if (kind < 0.3) printf "{\"op\":\"incr\",\"key\":\"n/%d\"}\n", k
            else if (kind < 0.4) printf "{\"txn\":[{\"key\":\"k/%d\",\"value\":%d},{\"op\":\"delete\",\"key\":\"t/%d\"},{\"key\":\"t/x%d\",\"value\":[%d]}]}\n", k, i, k, k, i
            else printf "{\"key\":\"k/%d\",\"value\":{\"n\":%d}}\n", k, i
        }
    }'
}

# ---- an empty one ----
start_server --checkpoint-records 500 --retain-records 4000
expect 0 backup "$dir/empty.vigil"
out_has '.seq == 0 and .records == 0 and .rows == 0 and (.epoch | test("^[0-9a-f]{16}$"))'
restored "$dir/empty.vigil"
expect 0 put first 1
out_is 1
done_with_it

# ---- under load and compaction ----
"$VIGIL" watch --since 0 >"$dir/seen" 2>"$dir/watch.err" &
watch_pid=$!
started+=("$watch_pid")
(
    for ((i = 1; ; i++)); do
        many_lines "$i" 300 | "$VIGIL" load >/dev/null
    done
) 2>"$dir/loads.err" &
loads_pid=$!
started+=("$loads_pid")
until_true 60 seen_up_to 2000
backups=0
for i in {1..5}; do
    "$VIGIL" compact --before "$(($(tail -n 1 "$dir/seen" | jq .seq) - 500))" >/dev/null 2>&1 &
    compact_pid=$!
    options=()
    ((i % 3)) || options=(--state-only)
    status=0
    if ((i % 2)); then
        "$VIGIL" backup "${options[@]}" "$dir/$i.vigil" >"$dir/out" 2>"$dir/err" || status=$?
    else
        "$VIGIL" backup "${options[@]}" - >"$dir/$i.vigil" 2>"$dir/err" || status=$?
    fi
    wait "$compact_pid" || true
    ((status == 0 || status == 5)) || fail "backup $i: exit code $status: $(cat "$dir/err")"
    if ((status == 0)); then
        backups=$((backups + 1))
        last=$dir/$i.vigil
    else
        grep -q COMPACTED "$dir/err" || fail "backup $i: $(cat "$dir/err")"
        rm -f "$dir/$i.vigil"
    fi
done
((backups >= 3)) || fail "only $backups of 5 backups could be made"

# ---- the server is replaced by what was restored, under the hands of everybody ----
kill "$loads_pid"
wait "$loads_pid" 2>/dev/null || true
last_seq=$("$VIGIL" backup --check "$last" | jq .seq)
epoch=$("$VIGIL" status --json | jq -r .epoch)
head=$("$VIGIL" status --json | jq .head)
# Lines without an end. The server stands still before it goes, so that some of them are unanswered.
"$VIGIL" --request-timeout 2m load < <(yes '{"op":"incr","key":"n"}') >/dev/null 2>"$dir/load.err" &
load_pid=$!
started+=("$load_pid")
until_true 60 seen_up_to "$((head + 1))"
kill -STOP "$server_pid"
until_true 60 rests "$load_pid"
kill_server
rm -rf "$dir/data"
start_server --restore "$last"
wait_for_exit 1 "$load_pid"
grep -q 'can no longer be known' "$dir/load.err" || fail "load: $(cat "$dir/load.err")"
wait_for_exit 5 "$watch_pid"
grep -q 'replaced' "$dir/watch.err" || fail "watch: $(cat "$dir/watch.err")"
for file in "$dir"/[0-9].vigil; do
    same_as_seen "$file"
done

# ---- another epoch ----
expect 5 watch --since "$epoch:$last_seq" --count 1
err_has replaced
echo "$epoch:$last_seq" >"$dir/cursor"
expect 5 watch --cursor "$dir/cursor" --count 1
expect 0 put after/restore '"next"'
out_is "$((last_seq + 1))"
expect 0 watch --since "$last_seq" --count 1
out_has '.key == "after/restore"'
[[ $("$VIGIL" status --json | jq -r .epoch) != "$epoch" ]] || fail "the epoch is the same"

# ---- the file ----
expect 0 backup "$dir/file.vigil"
[[ $(stat -c %a "$dir/file.vigil") == 600 ]] || fail "others may read it"
before=$(cat "$dir/out")
expect 0 backup --check "$dir/file.vigil"
out_is "$before"
[[ $(jq .bytes <<<"$out") == "$(stat -c %s "$dir/file.vigil")" ]] || fail "its size: $out"
expect 1 backup "$dir/file.vigil"
err_has '--force'
ln -s file.vigil "$dir/link.vigil"
expect 0 put one/more 1
expect 0 backup --force "$dir/link.vigil"
[[ -L $dir/link.vigil ]] || fail "the link was replaced"
expect 0 backup --check "$dir/file.vigil"
out_has ".seq == $((last_seq + 2))"
expect 1 backup "$dir"
expect 1 backup "$dir/none/file.vigil"
expect 2 backup --check --force "$dir/file.vigil"
status=0
"$VIGIL" backup - >/dev/full 2>"$dir/err" || status=$?
((status == 1)) || fail "a full disk: exit code $status"
grep -q 'No space left' "$dir/err" || fail "a full disk: $(cat "$dir/err")"
status=0
"$VIGIL" backup - 2>"$dir/err" | head -c 10 >/dev/null || status=${PIPESTATUS[0]}
((status == 0 || status == 1)) || fail "a reader that has gone: exit code $status"
"$VIGIL" backup - 2>/dev/null | "$VIGIL" backup --check - >/dev/null || fail "through a pipe"

# A signal, while the server does not answer: nothing stays behind.
kill -STOP "$server_pid"
"$VIGIL" backup --request-timeout 1s "$dir/stopped.vigil" >/dev/null 2>&1 &
pid=$!
started+=("$pid")
until_true 20 compgen -G "$dir/stopped.vigil.partial-*" >/dev/null
kill -TERM "$pid"
wait_for_exit 143 "$pid"
kill -CONT "$server_pid"
expect 6 -s "ipc://$dir/nobody" backup "$dir/nobody.vigil" --connect-timeout 100ms
[[ -z $(find "$dir" -name '*.partial-*' -o -name 'stopped.vigil' -o -name 'nobody.vigil') ]] ||
    fail "left behind: $(ls "$dir")"
stop_server

# ---- what is refused ----
refuses() { # WORDS FILE [FOLDER]
    local folder=${3:-$dir/refused} status=0
    "$VIGILD" --listen "ipc://$dir/x" --data "$folder" --restore "$2" >"$dir/out" 2>"$dir/err" || status=$?
    ((status == 1)) || fail "restore of $2: exit code $status"
    [[ ! -s $dir/out ]] || fail "restore of $2 became ready"
    grep -q "$1" "$dir/err" || fail "restore of $2: $(cat "$dir/err")"
    [[ ! -e $dir/refused ]] || fail "restore of $2 has made $(ls -A "$dir/refused")"
}
file=$dir/file.vigil
size=$(stat -c %s "$file")
refuses 'holds a journal already' "$file" "$dir/data"
refuses 'cannot open' "$dir/none.vigil"
refuses 'not a Vigil backup' "$dir/seen"
head -c "$((size / 2))" "$file" >"$dir/bad"
refuses 'cut off' "$dir/bad"
expect 1 backup --check "$dir/bad"
err_has 'cut off'
head -c "$((size - 1))" "$file" >"$dir/bad"
refuses 'cut off' "$dir/bad"
{ cat "$file" && echo; } >"$dir/bad"
refuses 'follows its end' "$dir/bad"
for at in 20 100 $((size / 2)) $((size - 3)); do
    cp "$file" "$dir/bad"
    chmod u+w "$dir/bad"
    byte=$(dd if="$file" bs=1 skip="$at" count=1 2>/dev/null | od -An -tu1)
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $(((byte + 1) % 256)))" | dd of="$dir/bad" bs=1 seek="$at" conv=notrunc 2>/dev/null
    refuses damaged "$dir/bad"
    expect 1 backup --check "$dir/bad"
    err_has damaged
done
