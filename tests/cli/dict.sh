#!/usr/bin/env bash
# ctest: TIMEOUT=180
# A dict's other methods as commands, and update: nobody's change is lost.
. "$(dirname "$0")/lib_cli.sh"
start_server --durability process

# setdefault
expect 0 setdefault a '{"n":1}'
out_is '{"n":1}'
expect 0 setdefault a 2
out_is '{"n":1}'
expect 0 setdefault a 2 --meta
out_is '{"value":{"n":1},"seq":1,"put":false}'
expect 0 setdefault b '"x"' --meta
out_has '.value == "x"'
expect 1 setdefault '' 1

# append, add
expect 0 append list '"x"'
out_is 1
expect 0 append list '["y"]'
out_is 2
expect 0 add list '"x"' --meta
out_has '.length == 2 and .added == false'
expect 0 add list '"z"' --meta
out_has '.length == 3 and .added'
expect 0 get list
out_is '["x",["y"],"z"]'
expect 0 put text '"ab"'
expect 0 append text 'cd' --string
out_is 4
expect 0 get text
out_is '"abcd"'
expect 1 append a 1
expect 2 append list
err_has 'give the value'

# pop
expect 0 pop text
out_is '"abcd"'
expect 3 pop text
err_has 'no such key: text'
out_is ''
expect 0 pop a --meta
out_has '.key == "a" and .value.n == 1 and .prev_seq == 1 and .seq > 1'

# push, pop --any, count, clear
for i in 1 2 3; do
    expect 0 push q/ "$i"
    [[ $out =~ ^q/[0-9a-f]{16}-[0-9a-f]{4}$'\n'$ ]] || fail "push: $out"
done
expect 0 push q/ '"four"' --meta
out_has '.key[0:2] == "q/" and .seq > 0'
expect 0 count q/
out_is 4
expect 0 pop --any q/
out_has '.value == 1 and (keys == ["key","value"])'
expect 0 pop --any q/ --meta
out_has '.value == 2 and .prev_seq > 0 and .seq > .prev_seq'
expect 0 clear q/ --meta
out_has '.count == 2'
expect 0 clear q/
out_is 0
expect 3 pop --any q/
err_has 'no key with this prefix: q/'
expect 0 count
out_is 2
expect 0 count --meta
out_has '.count == 2 and .seq > 0'

# More than one request counts.
for i in {1..70000}; do echo "{\"key\":\"many/$i\",\"value\":0}"; done | "$VIGIL" load >/dev/null
expect 0 count many/
out_is 70000
expect 1 clear many/
err_has '10'
expect 0 count many/699
out_is 111
expect 0 clear many/699
out_is 111

# update
expect 0 update u --default '{"n":0}' '.n += 1'
out_is '{"n":1}'
expect 0 update u '.n += 1' --meta
out_has '.value.n == 2 and .seq > 0'
expect 0 update absent '. == null'
out_is 'true'
expect 3 update u 'if .n > 5 then . else empty end'
err_has 'no output'
expect 3 update never empty
expect 3 get never
expect 1 update u '.n, .n'
err_has 'several outputs'
expect 1 update u '.n.x.y'
expect 2 update u '.n +'
err_has 'the jq expression'
expect 0 put large '{"id":9007199254740993,"n":1}'
expect 1 update large '.n += 1'
err_has 'beyond 2^53'
expect 0 get large
out_is '{"id":9007199254740993,"n":1}'
expect 0 put large '{"id":-9007199254740992,"n":1}'
expect 0 update large '.n += 1'
out_is '{"id":-9007199254740992,"n":2}'

# Twenty at once, and plain writers beside them: each result once.
for i in {1..20}; do
    "$VIGIL" update tally --default '{"n":0}' '.n += 1' >"$dir/tally.$i" 2>&1 &
    started+=($!)
    updates+=($!)
done
for pid in "${updates[@]}"; do wait_for_exit 0 "$pid"; done
results=$(cat "$dir"/tally.* | jq -s 'map(.n) | sort')
[[ $results == "$(jq -n '[range(1; 21)]')" ]] || fail "results: $results"
expect 0 get tally
out_is '{"n":20}'
