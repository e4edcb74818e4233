#!/usr/bin/env bash
# ctest: TIMEOUT=120 LABELS=crash
#
# Records of several changes arrive whole: live, through a filter that sees a part of them, by replay,
# and by a watcher that is stopped and goes on, wherever it is stopped.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"

records=600
start_server --stream-queue 16

# Record i puts a/i, b/i, b/i/x and c/i, and in every third deletes a key of the record before as well.
awk -v n="$records" 'BEGIN {
    for (i = 1; i <= n; i++) {
        printf "{\"txn\":[{\"key\":\"a/%d\",\"value\":%d},{\"key\":\"b/%d\",\"value\":%d},", i, i, i, i
        printf "{\"key\":\"b/%d/x\",\"value\":%d},{\"key\":\"c/%d\",\"value\":%d}", i, i, i, i
        if (i % 3 == 0) printf ",{\"op\":\"delete\",\"key\":\"a/%d\"}", i - 1
        printf "]}\n"
    }
}' >"$dir/load"

# whole FILE COUNT RECORDS: each record has COUNT lines in a row (one more in every third if the filter sees
# a/), of the right parts, the last one marked, and there are RECORDS of them.
whole() {
    jq -es --argjson count "$2" --argjson records "$3" --argjson deletes "${4:-0}" '
        def lines($s): $count + (if $deletes == 1 and $s % 3 == 0 then 1 else 0 end);
        group_by(.seq) as $groups
        | (map(.seq) == (map(.seq) | sort))
          and ($groups | length) == $records
          and all($groups[];
                .[0].seq as $s
                | length == lines($s)
                  and all(.[]; .parts == (if $s % 3 == 0 then 5 else 4 end))
                  and (map(.part) == (map(.part) | sort | unique))
                  and (map(.last // false) == [range(length - 1) | false] + [true]))
    ' "$1" >/dev/null || fail "$1: a record is not whole"
}

"$VIGIL" watch --since 0 --until-seq "$records" >"$dir/all" &
started+=($!)
"$VIGIL" watch 'b/*' --since 0 --until-seq "$records" >"$dir/part" &
started+=($!)
expect 0 load "$dir/load"
wait "${started[0]}" "${started[1]}"
whole "$dir/all" 4 "$records" 1
whole "$dir/part" 2 "$records"
[[ $(jq -s 'map(.part) | unique == [2, 3]' "$dir/part") == true ]] || fail "parts keep the record's numbers"

# By replay.
expect 0 watch 'b/*' 'c/*' --since 0 --until-seq "$records"
cp "$dir/out" "$dir/replayed"
whole "$dir/replayed" 3 "$records"

# Stopped after any number of lines: a record is never cut, and what follows is the next one.
: >"$dir/pieces"
while expect_cursor=$(cat "$dir/cursor" 2>/dev/null || echo none) && [[ ${expect_cursor##*:} != "$records" ]]; do
    expect 0 watch 'b/*' --since 0 --cursor "$dir/cursor" --count 35
    whole "$dir/out" 2 18
    cat "$dir/out" >>"$dir/pieces"
    (($(wc -l <"$dir/pieces") < 2 * records)) || break
    (($(wc -l <"$dir/pieces") + 36 <= 2 * records)) || break
done
expect 0 watch 'b/*' --cursor "$dir/cursor" --until-seq "$records"
cat "$dir/out" >>"$dir/pieces"
cmp -s "$dir/part" "$dir/pieces" || fail "the pieces differ from the whole"

# And after a crash of the server.
kill_server
start_server
expect 0 watch --since 0 --until-seq "$records"
cmp -s "$dir/out" "$dir/all" || fail "a crash changed what a watcher sees"
