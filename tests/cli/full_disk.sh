#!/usr/bin/env bash
# ctest: TIMEOUT=180 LABELS=crash
#
# A small file system that fills up: mutations are refused with the reason, reads and watches go on, nothing
# acknowledged is lost, compaction makes room; and one that is read-only. Needs the right to mount.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"

disk=$dir/disk
mkdir "$disk"
if ! mount -t tmpfs -o size=48m,mode=0700 vigil-test "$disk" 2>/dev/null; then
    echo "skipped: no right to mount a tmpfs"
    exit 77
fi
clean_up_disk() {
    local status=$?
    trap - EXIT
    [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
    wait 2>/dev/null || true
    umount "$disk" || umount -l "$disk"
    (exit "$status") || true
    rm -rf "$dir"
    exit "$status"
}
trap clean_up_disk EXIT

mkdir "$disk/data"
ln -s "$disk/data" "$dir/data" # where start_server looks
start_server --checkpoint-records 2000
awk 'BEGIN { pad = sprintf("%1000s", ""); gsub(/ /, "x", pad)
    for (i = 1; i <= 60000; i++) printf "{\"key\":\"k/%d\",\"value\":[%d,\"%s\"]}\n", i % 100, i, pad }' >"$dir/load"

# fill: loads until the disk is full; what was acknowledged is then in $acknowledged.
fill() {
    expect 1 load "$dir/load"
    err_has "space"
    acknowledged=$(jq -r .loaded <<<"$out")
    ((acknowledged > 500)) || fail "only $acknowledged loaded"
}
head_seq() {
    "$VIGIL" status --json | jq -r .head
}

fill
head=$(head_seq)
((head == acknowledged)) || fail "$acknowledged acknowledged, but the head is $head"
expect 0 get "k/$((acknowledged % 100))"
[[ $(jq '.[0]' <<<"$out") == "$acknowledged" ]] || fail "not the last value"
expect 0 ls
expect 0 watch --since 0 --until-seq "$head"
(($(wc -l <"$dir/out") == head)) || fail "a watcher sees $(wc -l <"$dir/out") of $head"

# Compaction makes room, also with the disk full.
expect 0 compact --before "$head"
until_true 20 "$VIGIL" put room '"again"' >/dev/null 2>&1
fill
large=$(printf '"%020000d"' 0)
while "$VIGIL" put k/large "$large" >/dev/null 2>&1; do # to the brim
    continue
done
head=$(head_seq)

# A crash with a full disk, and a start on it. What the start gave back is somebody else's then.
kill_server
start_server --checkpoint-records 2000
cat /dev/zero >"$disk/of-others" 2>/dev/null || true
[[ $(head_seq) == "$head" ]] || fail "the head was $head, and is $(head_seq)"
expect 0 get room
out_is '"again"'
expect 0 compact --before "$head"
until_true 20 "$VIGIL" put room '"still"' >/dev/null 2>&1
rm "$disk/of-others"
stop_server
expect 0 verify "$disk/data"

# A read-only file system: a server says so and ends; verify works.
mount -o remount,ro "$disk"
status=0
"$VIGILD" --listen "$VIGIL_SERVER" --data "$disk/data" >"$dir/out" 2>"$dir/err" || status=$?
((status == 1)) || fail "vigild on a read-only file system ended with $status"
[[ ! -s $dir/out && $(cat "$dir/err") == *"$disk/data"* ]] || fail "$(cat "$dir/err")"
expect 0 verify "$disk/data"
