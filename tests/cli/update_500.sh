#!/usr/bin/env bash
# ctest: TIMEOUT=240 PROCESSORS=2 LABELS=release-only
# 500 times `vigil update` on one counter, many at once: the results are 1 to 500, each once, and every
# watcher sees 500 records, also one that is stopped meanwhile. (The other ways: test_client_500.c.)
. "$(dirname "$0")/lib_cli.sh"
start_server --durability process

at_once=32

declare -A watcher
watch_into() { # NAME ARGUMENT...
    local name=$1
    shift
    "$VIGIL" watch "$@" --since oldest --until-seq 501 >"$dir/$name" 2>"$dir/$name.err" &
    watcher[$name]=$!
    started+=($!)
}
watch_into key counter
watch_into prefix 'c*'
watch_into all
watch_into stopped counter
expect 0 put counter 0
for name in "${!watcher[@]}"; do until_true 60 has_lines "$dir/$name" 1; done
kill -STOP "${watcher[stopped]}"

seq 500 | xargs -P "$at_once" -I{} sh -c '"$VIGIL" update counter ". + 1" >"$1/result.{}" 2>&1' - "$dir" ||
    fail "an update: $(cat "$dir"/result.* | sort -u | head -n 5)"

[[ $(cat "$dir"/result.* | sort -n) == "$(seq 500)" ]] || fail "the results are not 1 to 500"
kill -CONT "${watcher[stopped]}"
for name in "${!watcher[@]}"; do
    wait_for_exit 0 "${watcher[$name]}"
    [[ $(jq .value "$dir/$name") == "$(seq 0 500)" ]] || fail "the watcher '$name' has not seen all"
done
