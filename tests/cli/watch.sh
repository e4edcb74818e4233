#!/usr/bin/env bash
# ctest: TIMEOUT=120
# watch: where it starts, what it shows, when it ends, its cursor, its signals.
. "$(dirname "$0")/lib_cli.sh"
start_server

# Three kinds of change, by history first.
expect 0 put a 1
expect 0 put b '"x"'
expect 0 del a
expect 0 put ab '[2]'

expect 0 watch --since 0 --until-seq 4
[[ $(jq -c '[.seq, .op, .key, .value, .prev_seq]' <<<"$out") == '[1,"put","a",1,0]
[2,"put","b","x",0]
[3,"delete","a",null,1]
[4,"put","ab",[2],0]' ]] || fail "lines: $out"
[[ $(sed -n 3p <<<"$out") != *value* ]] || fail "a delete has a value: $out"
[[ $(jq -r .time <<<"$out" | grep -cE '^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z$') == 4 ]] ||
    fail "times: $out"
out_has 'has("part") or has("last") | not'
all=$out
epoch=$("$VIGIL" status --json | jq -r .epoch)

# Starts.
expect 0 watch --since oldest --until-seq 4
[[ $out == "$all" ]] || fail "--since oldest: $out"
expect 0 watch --since 3 --until-seq 4
out_has '.seq == 4'
expect 0 watch --since "$epoch:2" --until-seq 4
[[ $(wc -l <<<"${out%$'\n'}") == 2 ]] || fail "--since EPOCH:2: $out"
expect 0 watch --since 4 --until-seq 4
out_is ''
expect 0 watch --until-seq 4
out_is ''

# Patterns, and what they cover.
expect 0 watch a --since 0 --until-seq 4
[[ $(jq -c .seq <<<"$out") == $'1\n3' ]] || fail "watch a: $out"
expect 0 watch 'a*' --since 0 --until-seq 4
[[ $(jq -c .seq <<<"$out") == $'1\n3\n4' ]] || fail "watch a*: $out"
expect 0 watch b ab 'ab*' --since 0 --until-seq 4
[[ $(jq -c .seq <<<"$out") == $'2\n4' ]] || fail "watch b ab: $out"
expect 0 watch '*' --since 0 --until-seq 4
[[ $out == "$all" ]] || fail "watch *: $out"
expect 0 watch nothing/ --since 0 --until-seq 4
out_is ''
patterns=()
for i in {1..16}; do patterns+=("p/$i"); done
expect 0 watch "${patterns[@]}" --since 0 --until-seq 4
expect 2 watch "${patterns[@]}" p/17
expect 1 watch ''

# Ends.
expect 0 watch --since 0 --count 2
[[ $out == "$(head -n 2 <<<"$all")"$'\n' ]] || fail "--count 2: $out"
expect 0 watch --since 0 -n1
[[ $out == "$(head -n 1 <<<"$all")"$'\n' ]] || fail "-n1: $out"
expect 4 watch --timeout 100ms
out_is ''
err_has 'timed out'
expect 4 watch --since 0 --timeout 300ms
[[ $out == "$all" ]] || fail "--timeout: $out"
expect 4 watch --since 0 --count 5 --timeout 300ms
[[ $out == "$all" ]] || fail "--count 5: $out"

# Live: a line comes out while the watch goes on, and --until-seq beyond the head waits for it.
"$VIGIL" watch 'live/*' --cursor "$dir/live.cursor" --until-seq 8 >"$dir/live" 2>"$dir/live.err" &
started+=($!)
live=$!
until_true 20 test -e "$dir/live.cursor"
[[ $(cat "$dir/live.cursor") == "$epoch:4" ]] || fail "cursor at the start: $(cat "$dir/live.cursor")"
expect 0 put live/a 1
until_true 20 has_lines "$dir/live" 1
until_true 20 grep -q "^$epoch:5\$" "$dir/live.cursor"
# A change that does not match moves the cursor by a bookmark.
expect 0 put other 1
until_true 20 grep -q "^$epoch:6\$" "$dir/live.cursor"
expect 0 put other 2
expect 0 put other 3
wait_for_exit 0 "$live"
has_lines "$dir/live" 1 && [[ $(cat "$dir/live.cursor") == "$epoch:8" ]] || fail "the live watch's end"
[[ -z $(cat "$dir/live.err") ]] || fail "errors: $(cat "$dir/live.err")"

# Bookmarks.
expect 0 watch nothing --since 2 --until-seq 8 --bookmarks
out_has_any '.bookmark and .seq == 8 and .head == 8 and .oldest == 1 and .epoch == "'"$epoch"'"'
expect 4 watch --bookmarks --timeout 500ms
out_has .bookmark

# The cursor: written at once, gone on from, refused if it is none.
cursor=$dir/cursor
expect 0 watch --cursor "$cursor" --since 0 --count 2
[[ $(cat "$cursor") == "$epoch:2" ]] || fail "cursor: $(cat "$cursor")"
expect 0 watch --cursor "$cursor" --since 0 --until-seq 4
[[ $(jq -c .seq <<<"$out") == $'3\n4' ]] || fail "from the cursor: $out"
[[ $(cat "$cursor") == "$epoch:4" ]] || fail "cursor: $(cat "$cursor")"
[[ ! -e $cursor.tmp ]] || fail "a temporary file is left"
expect 4 watch --cursor "$dir/new" --timeout 100ms
[[ $(cat "$dir/new") == "$epoch:8" ]] || fail "new cursor: $(cat "$dir/new")"
for content in '' nonsense "$epoch:" "$epoch:1 2"; do
    printf '%s' "$content" >"$dir/bad"
    expect 1 watch --cursor "$dir/bad" --until-seq 1
    err_has 'no cursor file'
    [[ $(cat "$dir/bad") == "$content" ]] || fail "a file that is no cursor was overwritten"
done
expect 1 watch --cursor "$dir/no/such/folder" --until-seq 1
err_has 'No such file'
expect 1 watch --cursor "$dir" --until-seq 1
echo "$epoch:3" >"$dir/real"
ln -s real "$dir/link"
expect 0 watch --cursor "$dir/link" --until-seq 8
[[ -L $dir/link && $(cat "$dir/real") == "$epoch:8" ]] || fail "a link as cursor"

# Signals: what was shown and the cursor agree, and the exit code is the signal's.
for signal in TERM:143 HUP:129; do
    rm -f "$cursor" "$dir/signalled"
    "$VIGIL" watch --since 0 --cursor "$cursor" >"$dir/signalled" &
    pid=$!
    started+=("$pid")
    until_true 20 has_lines "$dir/signalled" 8
    kill "-${signal%:*}" "$pid"
    wait_for_exit "${signal#*:}" "$pid"
    [[ $(cat "$cursor") == "$epoch:8" ]] || fail "$signal: $(cat "$cursor")"
done
# SIGINT is ignored in background jobs of a script; not in one that takes it back.
timeout --preserve-status -s INT 1 "$VIGIL" watch --since 0 >"$dir/signalled" && fail "SIGINT: exit code 0"
(($? == 130)) || fail "SIGINT: exit code $?"
has_lines "$dir/signalled" 8 || fail "SIGINT lost lines"

# A reader that goes ends an idle watch too, at once.
mkfifo "$dir/pipe"
"$VIGIL" watch --since 0 >"$dir/pipe" 2>"$dir/reader.err" &
pid=$!
started+=("$pid")
head -n 1 <"$dir/pipe" >/dev/null
wait_for_exit 0 "$pid"
[[ ! -s $dir/reader.err ]] || fail "a reader that has gone: $(cat "$dir/reader.err")"

# A reader that stands still does not keep a signal away, and the cursor does not run ahead of it.
awk 'BEGIN { for (i = 1; i <= 20000; i++) printf "{\"key\":\"slow\",\"value\":%d}\n", i }' >"$dir/slow"
expect 0 load "$dir/slow"
exec {hold}<>"$dir/pipe"
"$VIGIL" watch slow --since 8 --cursor "$dir/slow.cursor" >&"$hold" &
pid=$!
started+=("$pid")
until_true 20 test -e "$dir/slow.cursor"
stuck() { [[ $(cut -d ' ' -f 3 <"/proc/$pid/stat") == S && $(cat "/proc/$pid/wchan" 2>/dev/null) != '' ]]; }
until_true 20 stuck
kill -TERM "$pid"
wait_for_exit 143 "$pid"
# What is in the pipe, and from the cursor on, is everything.
size=$(wc -c <"$dir/slow")
((size > 65536)) || fail "the pipe was no match"
timeout 1 cat <&"$hold" >"$dir/part1" || true
exec {hold}>&-
expect 0 watch slow --cursor "$dir/slow.cursor" --until-seq 20008
cat "$dir/part1" <(printf '%s' "$out") | jq -R 'fromjson? | .value' | sort -nu >"$dir/values"
cmp "$dir/values" <(seq 20000) || fail "a stuck reader lost lines"
