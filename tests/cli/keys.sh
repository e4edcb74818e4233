#!/usr/bin/env bash
# put, get, del, incr and ls: what they print, their conditions, their exit codes.
. "$(dirname "$0")/lib_cli.sh"
start_server

# put prints the seq, get the value.
expect 0 put a '{"x": [1, 2.5, "ä"], "y": null}'
out_is 1
expect 0 get a
out_is '{"x":[1,2.5,"ä"],"y":null}'
expect 0 put a 2 --meta
out_is '{"seq":2,"prev_seq":1,"version":2}'
expect 0 get a --meta
out_is '{"seq":2,"key":"a","present":true,"value":2,"created":1,"version":2,"as_of":2}'
expect 3 get nothing
out_is ''
err_has 'no such key: nothing'

# Negative numbers are values and not options; -- ends the options.
expect 0 put a -5
expect 0 get a
out_is -5
expect 0 put -- --odd-key '"v"'
expect 0 get -- --odd-key
out_is '"v"'
expect 0 del -- --odd-key

# Conditions. The seq of a is 3 now.
expect 3 put a 1 --if-seq 2
err_has 'changed last at seq 3'
out_is ''
expect 0 put a 1 --if-seq 3
out_is 6
expect 3 put a 1 --if-absent
expect 3 put a 1 --if-seq 0
expect 0 put b 1 --if-absent
expect 0 put c 1 --if-seq 0
expect 3 put b 2 --if-value 7
expect 0 put b 2 --if-value 1
expect 3 put missing 2 --if-value 1
err_has 'absent'
expect 3 put missing 2 --if-seq 5
err_has 'absent'
expect 2 put a 1 --if-seq 3 --if-absent
expect 2 put a 1 --if-seq -3
expect 2 put a 1 --if-value nonsense
expect 0 get a
out_is 1

# del
expect 3 del b --if-seq 1
expect 3 del b --if-value '"no"'
expect 0 del b --if-value 2
expect 3 del b
err_has 'no such key: b'
expect 3 get b
expect 0 put b true
expect 0 del b --meta
out_has '.seq > .prev_seq and .prev_seq > 0'

# incr: an absent key counts as 0.
expect 0 incr n
out_is 1
expect 0 incr n 41
out_is 42
expect 0 incr n -50
out_is -8
expect 0 incr n +3 --meta
out_has '.value == -5 and .version == 4 and .seq > 0 and (has("prev_seq") | not)'
expect 0 put big 18446744073709551614
expect 0 incr big
out_is 18446744073709551615
expect 1 incr big
err_has '2^64-1'
expect 0 put text '"x"'
expect 1 incr text
err_has 'integer'
expect 2 incr n 1.5
expect 2 incr n 9223372036854775808
expect 2 incr n x
expect 0 incr least -9223372036854775808
out_is -9223372036854775808

# ls: bytewise order, prefixes, quoting of names that are no line.
expect 0 put dir/b 1
expect 0 put dir/a '"v"'
expect 0 put $'dir/line\nbreak' 1
expect 0 put '"quoted"' 1
expect 0 ls dir/
out_is $'dir/a\ndir/b\n"dir/line\\nbreak"'
expect 0 ls '"'
out_is '"\"quoted\""'
expect 0 ls none/
out_is ''
expect 0 ls dir/ --values
[[ $(jq -c '[.key, .value, .present]' <<<"$out") == $'["dir/a","v",true]\n["dir/b",1,true]\n["dir/line\\nbreak",1,true]' ]] ||
    fail "ls --values: $out"
[[ $(jq -r .as_of <<<"$out" | sort -u | wc -l) == 1 ]] || fail "not of one seq: $out"
expect 0 ls dir/a --json
out_has 'has("value") | not'
out_has '.seq == .created and .version == 1'
expect 0 ls
[[ $(LC_ALL=C sort -c <(grep -v '^"' <<<"${out%$'\n'}") 2>&1) == "" ]] || fail "not in order: $out"

# Keys that are none.
expect 1 put '' 1
err_has 'key must be 1 to 480 bytes'
expect 1 put "$(printf 'x%.0s' {1..481})" 1
err_has 'key must be 1 to 480 bytes'
expect 0 put "$(printf 'x%.0s' {1..480})" 1
expect 1 get $'\xff\xfe'
err_has 'UTF-8'

# More keys than one reply of the server lists.
awk 'BEGIN { for (i = 1; i <= 40000; i++) printf "{\"key\":\"many/%06d\",\"value\":%d}\n", i, i }' >"$dir/many"
expect 0 load "$dir/many"
"$VIGIL" ls many/ >"$dir/listed"
cmp <(cut -d '"' -f 4 "$dir/many") "$dir/listed" || fail "the listing differs"
"$VIGIL" ls many/ | head -n 1 >"$dir/first" || fail "ls into head: exit code $?"
