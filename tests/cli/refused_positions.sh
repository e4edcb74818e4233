#!/usr/bin/env bash
# ctest: TIMEOUT=120
# Positions that are refused: the cursor stays as it was, nothing is shown, and a watcher that was
# stopped for too long has shown a beginning without a hole.
. "$(dirname "$0")/lib_cli.sh"
start_server
for i in {1..20}; do echo "{\"key\":\"k/$((i % 2))\",\"value\":$i}"; done | "$VIGIL" load >/dev/null
epoch=$("$VIGIL" status --json | jq -r .epoch)

# A position that the journal no longer reaches back to: 5, with oldest, head and epoch.
expect 0 watch --cursor "$dir/cursor" --since 0 --count 5
expect 0 compact --before 11
for start in '--since 0' '--since 9' "--since $epoch:9" "--cursor $dir/cursor"; do
    # shellcheck disable=SC2086
    expect 5 watch $start --timeout 30s
    out_is ''
    err_has COMPACTED
    err_has oldest=11
    err_has head=20
    err_has "epoch=$epoch"
done
[[ $(cat "$dir/cursor") == "$epoch:5" ]] || fail "the cursor has moved: $(cat "$dir/cursor")"
# Also where nothing of what is gone matches: it is not known that nothing does.
expect 5 watch k/0 --since 9 --timeout 30s
expect 5 wait k/0 --until '. == 2' --since 0 --timeout 30s
err_has COMPACTED
# What is whole is delivered.
expect 0 watch --since 10 --until-seq 20
[[ $(jq .seq <<<"$out" | head -n 1) == 11 ]] || fail "--since 10: $out"
expect 0 watch --since oldest --count 1
out_has '.seq == 11'

# A watcher that is stopped while what it needs is compacted.
"$VIGIL" watch 'k/*' >"$dir/stopped" 2>"$dir/stopped.err" --cursor "$dir/stopped.cursor" &
pid=$!
started+=("$pid")
until_true 20 test -e "$dir/stopped.cursor"
kill -STOP "$pid"
awk 'BEGIN { for (i = 1; i <= 150000; i++) printf "{\"key\":\"k/1\",\"value\":%d}\n", i }' | "$VIGIL" load >/dev/null
expect 0 compact --before 150000
kill -CONT "$pid"
wait_for_exit 5 "$pid"
grep -q COMPACTED "$dir/stopped.err" || fail "a stopped watcher: $(cat "$dir/stopped.err")"
# What it had shown is the beginning, without a hole, and its cursor says where that ends.
jq .seq "$dir/stopped" | awk '$1 != NR + 20 { exit 1 }' || fail "a stopped watcher's lines have a hole"
[[ $(cat "$dir/stopped.cursor") == "$epoch:$(tail -n 1 "$dir/stopped" | jq .seq)" ]] ||
    fail "a stopped watcher's cursor: $(cat "$dir/stopped.cursor")"

# Beyond the newest record.
for start in '--since 999999' "--since $epoch:999999"; do
    # shellcheck disable=SC2086
    expect 5 watch $start --timeout 30s
    err_has POSITION_AHEAD
    err_has seq=999999
    err_has head=150020
done

# Another epoch: 5, with both.
other=00000000deadbeef
expect 5 watch --since $other:5 --timeout 30s
err_has EPOCH_CHANGED
err_has "epoch=$other"
err_has "epoch=$epoch"
echo $other:5 >"$dir/cursor"
expect 5 watch --cursor "$dir/cursor" --timeout 30s
err_has EPOCH_CHANGED
[[ $(cat "$dir/cursor") == "$other:5" ]] || fail "a cursor of another epoch was overwritten"
expect 5 wait k/0 --since $other:5 --timeout 30s
err_has EPOCH_CHANGED
