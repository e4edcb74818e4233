#!/usr/bin/env bash
# ctest: TIMEOUT=120
# history, compact, status, ping and verify.
. "$(dirname "$0")/lib_cli.sh"
start_server

expect 0 ping
[[ $out =~ ^vigild\ .*\ at\ ipc://.*:\ [0-9]+\.[0-9]{3}\ ms$'\n'$ ]] || fail "ping: $out"

for i in {1..10}; do
    echo "{\"key\":\"a\",\"value\":$i}"
    echo "{\"key\":\"b\",\"value\":$i}"
done | "$VIGIL" load >/dev/null
expect 0 load <<<'{"txn":[{"key":"a","value":"both"},{"key":"b","value":"both"}]}'
expect 0 del a

# history: the key's own changes only, oldest first.
expect 0 history a
[[ -z $err ]] || fail "errors: $err"
[[ $(jq -c '[.seq, .op, .value, .prev_seq]' <<<"$out" | sed -n '1p;10,12p') == '[1,"put",1,0]
[19,"put",10,17]
[21,"put","both",19]
[22,"delete",null,21]' ]] || fail "history: $out"
out_has '.key == "a"'
out_has_any '.seq == 21 and .part == 1 and .parts == 2 and .last'
expect 3 history never
err_has 'no change of never'
out_is ''

# status
expect 0 status
grep -qE '^head +22$' <<<"$out" || fail "status: $out"
expect 0 status --json
out_has '.head == 22 and .oldest == 1 and (.epoch | test("^[0-9a-f]{16}$"))'

# compact: the state stays, and what is gone is said to be.
expect 0 compact --before 15
out_is 15
expect 0 get b
out_is '"both"'
expect 0 history a
out_has_any '.seq == 15'
err_has 'before seq 15 are no longer in the journal'
jq -es 'length == 5' <<<"$out" >/dev/null || fail "history: $out"
expect 0 compact --before 15
out_is 15
expect 0 compact --before 3
out_is 15
expect 5 compact --before 24
err_has 'head=22'
expect 5 watch --since 3 --until-seq 22
expect 0 watch --since 14 --until-seq 22
expect 0 compact --before 22
out_is 22
expect 0 watch --since oldest --until-seq 22
out_has '.seq == 22 and .op == "delete"'

# verify: not while a server is there; clean after it; the state and every fault.
expect 1 verify "$dir/data"
err_has 'stop that server first'
expect 0 put more 1
stop_server
expect 0 verify "$dir/data"
[[ $out == *'problems: 0'* ]] || fail "verify: $out"
expect 0 verify "$dir/data" --json
out_has '.problems == 0 and .oldest == 22 and .head == 23 and .keys == 2'
expect 1 verify "$dir/none"
err_has "$dir/none"
mkdir "$dir/empty"
expect 1 verify "$dir/empty"
[[ -z $(ls -A "$dir/empty") ]] || fail "verify made files"

# A journal whose server was killed is clean as well.
start_server
for i in {1..500}; do echo "{\"key\":\"k/$((i % 7))\",\"value\":$i}"; done | "$VIGIL" load >/dev/null
kill_server
expect 0 verify "$dir/data" --json
out_has '.problems == 0 and .head == 523'

# Flip one byte of a record: it is found, and named.
data=$(find "$dir/data" -name 'data.mdb')
offset=$(grep -obUa 'k/5' "$data" | head -n 1 | cut -d : -f 1)
printf 'X' | dd of="$data" bs=1 seek="$offset" conv=notrunc 2>/dev/null
expect 1 verify "$dir/data"
[[ $out == *'seq '*': '*$'\n'*'problems: '[1-9]* ]] || fail "verify: $out"
expect 1 verify "$dir/data" --json
out_has_any '.problem and .seq > 0'
[[ $(jq -r .problems <<<"$(tail -n 1 <<<"${out%$'\n'}")") -ge 1 ]] || fail "verify --json: $out"
