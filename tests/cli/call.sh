#!/usr/bin/env bash
# vigil call and vigil function: arguments, results, failures as a person reads them, storing.
# shellcheck source=tests/cli/lib_cli.sh
. "$(dirname "$0")/lib_cli.sh"
start_server --log-level warn

cat >"$dir/transfer.lua" <<'END'
local from, to, amount = args[1], args[2], args[3]
local function debit(key)
    local have = get(key) or 0
    if have < amount then error(key .. ' has only ' .. have) end
    put(key, have - amount)
end
incr(to, amount)
debit(from)
return {[from] = get(from), [to] = get(to)}
END

# ---- storing ----
expect 0 function list
out_is ''
expect 0 function put transfer "$dir/transfer.lua"
out_is 1
expect 0 function list
out_is transfer
expect 0 function get transfer
out_is "$(cat "$dir/transfer.lua")"
expect 3 function get nosuch
expect 3 function delete nosuch
echo 'local x = = 1' >"$dir/bad.lua"
expect 1 function put bad "$dir/bad.lua"
err_has "source:1: unexpected symbol near '='"
expect 0 function list
out_is transfer
expect 2 function
expect 2 function put onlyname
expect 2 function frobnicate
expect 1 function put nofile "$dir/nosuch.lua"

# ---- calling ----
expect 0 put alice 10
expect 0 call transfer '"alice"' '"bob"' 4
out_is '{"alice":6,"bob":4}'
expect 0 call transfer '"alice"' '"bob"' 4 --meta
out_has '.value == {"alice":2,"bob":8} and .seq == 4'

# A failure: every line of it, and nothing has changed.
expect 1 call transfer '"alice"' '"bob"' 40
out_is ''
err_has 'vigil: call: transfer:4: alice has only 2'
err_has 'stack traceback:'
err_has "transfer:8: in main chunk"
expect 0 get bob
out_is 8
expect 3 call nosuch
err_has "no function 'nosuch'"
expect 2 call
expect 2 call transfer 'not json'
expect 1 call -f "$dir/nosuch.lua"

# ---- from a file, from standard input; every kind of argument ----
echo 'return args' >"$dir/args.lua"
expect 0 call -f "$dir/args.lua" 1 -2 1.5 '"x"' null true '[]' '{}' '{"a":[null]}' 9223372036854775807
out_is '[1,-2,1.5,"x",null,true,[],{},{"a":[null]},9223372036854775807]'
expect 0 call --string -f "$dir/args.lua" 1 null
out_is '["1","null"]'
expect 0 call -f "$dir/args.lua" 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17
out_has 'length == 17'
expect 0 call -f - <<<'return #list("")'
out_is 3
: >"$dir/empty.lua"
expect 1 call -f "$dir/empty.lua"

# ---- limits ----
echo 'put("x", 1) while true do end' >"$dir/endless.lua"
expect 1 call -f "$dir/endless.lua"
err_has 'limit of'
expect 3 get x

# ---- functions are part of the state ----
expect 0 watch 'vigil/function/*' --since 0 --count 1
out_has '.key == "vigil/function/transfer"'
expect 0 function delete transfer
expect 3 call transfer
