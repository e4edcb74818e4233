#!/usr/bin/env bash
# ctest: TIMEOUT=180 LABELS=crash
#
# Restores that are killed at any moment: the folder then holds all of it, or nothing that a server starts on by
# mistake; and the next restore works.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"

start_server --checkpoint-records 3000
awk 'BEGIN { for (i = 1; i <= 30000; i++) printf "{\"key\":\"k/%d\",\"value\":{\"n\":%d}}\n", i * 7919 % 9000, i }' |
    "$VIGIL" load >/dev/null
expect 0 backup "$dir/file.vigil"
expect 0 ls --json
keys=$(wc -l <<<"${out%$'\n'}")
stop_server

# Serves what is in the data folder: complete.
serves_all() {
    expect 0 status --json
    out_has '.head == 30000 and .oldest == 1'
    expect 0 ls --json
    (($(wc -l <<<"${out%$'\n'}") == keys)) || fail "not all keys"
    stop_server
    expect 0 verify "$dir/data"
}

complete=0
cut=0
for round in {1..25}; do
    rm -rf "$dir/data"
    "$VIGILD" --listen "$VIGIL_SERVER" --data "$dir/data" --restore "$dir/file.vigil" >/dev/null 2>&1 &
    server_pid=$!
    # Any moment will do.
    read -r -t "0.$(printf %03d $((RANDOM % (round * 12))))" <> <(:) || true
    kill_server
    if [[ -e $dir/data/data.mdb ]]; then
        complete=$((complete + 1))
        start_server
        serves_all
    elif [[ -e $dir/data/restore.mdb ]]; then
        cut=$((cut + 1))
        status=0
        "$VIGILD" --listen "$VIGIL_SERVER" --data "$dir/data" >"$dir/out" 2>"$dir/err" || status=$?
        ((status == 1)) || fail "a start on half a restore: exit code $status"
        [[ ! -s $dir/out ]] || fail "a start on half a restore became ready"
        grep -q 'restore into .* was cut short' "$dir/err" || fail "$(cat "$dir/err")"
        if ((cut == 1)); then
            start_server --restore "$dir/file.vigil"
            serves_all
        fi
    else
        [[ ! -e $dir/data || -z $(find "$dir/data" -mindepth 1 ! -name vigil.lock) ]] ||
            fail "left behind: $(ls -A "$dir/data")"
    fi
done
echo "$complete complete, $cut cut short"

# At least once in the middle of it.
while ((cut == 0)); do
    rm -rf "$dir/data"
    "$VIGILD" --listen "$VIGIL_SERVER" --data "$dir/data" --restore "$dir/file.vigil" >/dev/null 2>&1 &
    server_pid=$!
    until [[ -e $dir/data/restore.mdb || -e $dir/data/data.mdb ]]; do :; done
    kill_server
    [[ ! -e $dir/data/restore.mdb ]] || cut=1
done
