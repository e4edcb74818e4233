#!/usr/bin/env bash
# ctest: TIMEOUT=120
# Records of several changes arrive whole: live, through a filter, by replay, and after a resume.
. "$(dirname "$0")/lib_cli.sh"
start_server
records=400

# Record i: seven changes, of a/i, b/i (twice, so that one counts), c/1 to c/4 and the counter n.
make_records() {
    awk -v from="$1" -v to="$2" 'BEGIN {
        for (i = from; i <= to; i++) {
            printf "{\"txn\":[{\"key\":\"a/%d\",\"value\":%d},{\"key\":\"b/x\",\"value\":-1}", i, i
            printf ",{\"key\":\"b/x\",\"value\":%d}", i
            for (k = 1; k <= 4; k++) printf ",{\"key\":\"c/%d\",\"value\":%d}", k, i
            printf ",{\"op\":\"incr\",\"key\":\"n\",\"by\":2}]}\n"
        }
    }'
}

# whole NAME FILE FIELDS: each record's lines stand together, have these parts, and the last is marked.
whole() {
    jq -r '[.seq, .part, .parts, .last // false, .key] | @tsv' "$2" | awk -v parts="$3" -v name="$1" '
        function complain(what) { print name ": " what " at line " NR ": " $0 > "/dev/stderr"; exit failed = 1 }
        BEGIN { n = split(parts, want, " ") }
        {
            at = (NR - 1) % n + 1
            if ($2 != want[at] || $3 != 7) complain("part")
            if (($4 == "true") != (at == n)) complain("last")
            if (at == 1 && NR > 1 && $1 <= seq) complain("order")
            if (at > 1 && $1 != seq) complain("torn")
            seq = $1
        }
        END { if (!failed && NR % n) complain("unfinished") }' || fail "$1"
}

"$VIGIL" watch --since 0 --until-seq $records >"$dir/live" &
all=$!
"$VIGIL" watch 'a/*' 'c/*' n --since 0 --until-seq $records >"$dir/filtered" &
filtered=$!
"$VIGIL" watch c/3 --since 0 --until-seq $records >"$dir/one" &
one=$!
started+=("$all" "$filtered" "$one")
make_records 1 $records | "$VIGIL" load >/dev/null
for pid in "$all" "$filtered" "$one"; do wait_for_exit 0 "$pid"; done

for way in live replayed; do
    if [[ $way == replayed ]]; then
        "$VIGIL" watch --since 0 --until-seq $records >"$dir/live"
        "$VIGIL" watch 'a/*' 'c/*' n --since 0 --until-seq $records >"$dir/filtered"
        "$VIGIL" watch c/3 --since 0 --until-seq $records >"$dir/one"
    fi
    whole "$way, all" "$dir/live" '1 2 3 4 5 6 7'
    whole "$way, filtered" "$dir/filtered" '1 3 4 5 6 7'
    whole "$way, one" "$dir/one" 5
    [[ $(wc -l <"$dir/live") == $((7 * records)) ]] || fail "$way: $(wc -l <"$dir/live") lines"
    [[ $(wc -l <"$dir/filtered") == $((6 * records)) ]] || fail "$way: $(wc -l <"$dir/filtered") lines"
    [[ $(jq -s 'map(.value) == [range(1; '$((records + 1))')]' "$dir/one") == true ]] || fail "$way: values of c/3"
done
# The net change of a key that a record changes twice.
jq -se 'map(select(.key == "b/x") | .value) | all(. > 0)' "$dir/live" >/dev/null || fail "b/x"

# --count ends with a whole record.
expect 0 watch --since 0 --count 3
printf '%s' "$out" >"$dir/counted"
whole "--count 3" "$dir/counted" '1 2 3 4 5 6 7'
[[ $(wc -l <"$dir/counted") == 7 ]] || fail "--count 3: $out"
expect 0 watch --since 0 --count 8
[[ $(wc -l <<<"${out%$'\n'}") == 14 ]] || fail "--count 8: $out"

# A watch that is killed again and again: each run goes on with the record after its cursor.
make_records $((records + 1)) $((2 * records)) | "$VIGIL" load >/dev/null &
loader=$!
for ((run = 1; run <= 1000; run++)); do
    status=0
    # Longer and longer, for machines and builds that are slow.
    printf -v seconds '0.%03d' $((20 + run < 999 ? 20 + run : 999))
    timeout -s KILL "$seconds" "$VIGIL" watch 'c/*' --since 0 --cursor "$dir/cursor" \
        --until-seq $((2 * records)) >"$dir/run.$run" 2>/dev/null || status=$?
    ((status != 0)) || break
    ((status == 137)) || fail "a killed watch: exit code $status"
done
((status == 0)) || fail "the killed watch never ends"
wait "$loader"
# Whole records only of each run; the cursor decides, so a torn or unreported record comes again.
for ((i = 1; i <= run; i++)); do cat "$dir/run.$i"; echo; done | jq -cR 'fromjson? | [.seq, .part]' | sort -u >"$dir/seen"
jq -nc --argjson n $((2 * records)) '[range(1; $n + 1)] | .[] | [., 3], [., 4], [., 5], [., 6]' | sort >"$dir/wanted"
cmp "$dir/seen" "$dir/wanted" || fail "the killed watch missed something"
whole "the last run" "$dir/run.$run" '3 4 5 6'

# All or nothing.
before=$("$VIGIL" status --json | jq .head)
expect 0 put text '"x"'
expect 1 load <<<'{"txn":[{"key":"a/0","value":1},{"op":"incr","key":"text"}]}'
expect 3 get a/0
[[ $("$VIGIL" status --json | jq .head) == $((before + 1)) ]] || fail "a failed transaction took a seq"
