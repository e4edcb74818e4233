# compare.jq - the raw results of bench/compare.sh as Markdown, or as data of a plot ($plot: its name).
# The input: an array of the header and every measurement. See bench/compare-table.

# ---- numbers -----------------------------------------------------------------------------

def median:
    sort | if length == 0 then null
           elif length % 2 == 1 then .[length / 2 | floor]
           else (.[length / 2 - 1] + .[length / 2]) / 2 end;

def n:
    if . == null then "-"
    elif . >= 1000000 then "\(. / 10000 | round / 100) M"
    elif . >= 10000 then "\(. / 1000 | round) K"
    elif . >= 100 then "\(round)"
    elif . >= 10 then "\(. * 10 | round / 10)"
    else "\(. * 100 | round / 100)" end;

def ms: if . == null then "-" else . / 1000 | n end;
def range: if length == 0 then "-" else "\(min | n)–\(max | n)" end;
# Median and range of numbers.
def spread: if length == 0 then "-" else "\(median | n) (\(range))" end;

def line: "| " + join(" | ") + " |";
def heads($names): [$names[] | ltrimstr("<")] | line;
def table_head($names): heads($names), ($names | map(if startswith("<") then "---" else "---:" end) | line);

# ---- names -------------------------------------------------------------------------------

def system_names: {
    "vigil-power": "Vigil `power`", "vigil-process": "Vigil `process` †",
    "redis-always": "Redis `always`", "redis-everysec": "Redis `everysec` †",
    "nats": "JetStream †", "etcd": "etcd"
};

def operation_names: {
    "redis set 0": "SET, nobody watches", "redis set": "SET; notification, GET",
    "redis set-publish": "SET + PUBLISH", "redis xadd": "XADD; XREAD",
    "redis incr 0": "INCR, nobody watches", "redis incr": "INCR; notification, GET",
    "nats put": "KV put; KV watch", "nats publish": "publish; ordered consumer"
};

def name: # of a participant
    split("/") as [$system, $operation, $watchers]
    | ($system | split("-")[0]) as $kind
    | (operation_names["\($kind) \($operation) \($watchers)"]
       // operation_names["\($kind) \($operation)"] // $operation) as $what
    | "\(system_names[$system] // $system) \($what)";

def size_name: if . >= 1024 then "\(. / 1024 | floor) KiB" else "\(.) B" end;

# ---- summaries ---------------------------------------------------------------------------

def has_worked: .failed == null;

# An array of measurements to one of rows, {row, first: participant, of: {participant: [measurement]}}.
def by_row:
    (reduce .[] as $m ([]; if any(.[]; . == $m.row) then . else . + [$m.row] end)) as $names
    | [$names[] as $name | map(select(.row == $name)) | {
        row: $name,
        participants: (sort_by(.position) | reduce .[] as $m
            ([]; if any(.[]; . == $m.participant) then . else . + [$m.participant] end)),
        all: .
    }];

def of($row; $participant): $row.all | map(select(.participant == $participant and has_worked));

# The first participant's field over that of another, round by round; turned: the other way round.
def ratios($row; $participant; field):
    of($row; $row.participants[0]) as $first
    | [of($row; $participant)[] | . as $m
       | ($first[] | select(.round == $m.round) | field) as $reference
       | select($reference != null and (field // 0) > 0)
       | $reference / ($m | field)];

def per_server_cpu: if (.server_cpu_us_per_op // 0) > 0 then 1e6 / .server_cpu_us_per_op else null end;
def values(field): [.[] | field | select(. != null)];

# What went wrong, for the table: "" if nothing.
def remarks($row; $participant):
    ($row.all | map(select(.participant == $participant))) as $all
    | ($all | map(select(has_worked))) as $good
    | ([$good[] | select((.deliveries_per_s // 0) > 0 and .watchers > 0)
        | select(.ops_per_s > 0)
        | 100 * .deliveries_per_s / (.ops_per_s * .watchers)] | median) as $kept_up
    | [
        (if ($good | length) < ($all | length)
         then "failed \(($all | length) - ($good | length)) of \($all | length)" else empty end),
        (if any($good[]; .watch_ended == 1) then "watchers cut off" else empty end),
        (if any($good[]; (.lost // 0) > 0)
         then "\([$good[] | 100 * .lost / ((.lost + .deliveries) | if . == 0 then 1 else . end)]
                 | median | n) % not delivered" else empty end),
        (if $kept_up != null and $kept_up < 90
         then "watchers keep up with \($kept_up | n) %" else empty end),
        (if any($good[]; (.unsent // 0) > 0) then "could not keep the rate" else empty end)
    ] | if length == 0 then "" else " (" + join("; ") + ")" end;

# ---- tables ------------------------------------------------------------------------------

def throughput($rows; $title):
    table_head(["<\($title)", "<system, what is done; what its watcher does", "ops/s, median (range)",
        "p50 ms", "p99 ms", "client CPU µs/op", "server CPU µs/op", "ops per second of server CPU",
        "Vigil's ratio, median (range)", "ratio per server CPU"]),
    ($rows[] | . as $row | .participants[] as $p
     | of($row; $p) as $m
     | ($p == $row.participants[0]) as $is_first
     | [
        (if $is_first then
            ($row.all[0] | if $title == "watchers" then "\(.watchers)"
             elif $title == "size" then (.size | size_name)
             else "\(.clients) × \(.depth)" end)
         else "" end),
        ($p | name) + remarks($row; $p),
        ($m | values(.ops_per_s) | spread),
        ($m | values(.p50_us) | median | ms),
        ($m | values(.p99_us) | median | ms),
        ($m | values(.client_cpu_us_per_op) | median | n),
        ($m | values(.server_cpu_us_per_op) | median | n),
        ($m | values(per_server_cpu) | median | n),
        (if $is_first then "1" else ratios($row; $p; .ops_per_s) | spread end),
        (if $is_first then "1" else ratios($row; $p; per_server_cpu) | median | n end)
       ] | line);

def deliveries($rows):
    table_head(["<load", "<system, what is done; what its watcher does", "changes/s",
        "p50 µs, median (range)", "p99 µs, median (range)", "max µs",
        "Vigil's p50 over its, median (range)", "Vigil's p99 over its", "server CPU µs/op"]),
    ($rows[] | . as $row | .participants[] as $p
     | of($row; $p) as $m
     | ($p == $row.participants[0]) as $is_first
     | [
        (if $is_first then (if $row.all[0].kind == "share"
            then "\($row.row | split("-") | last) % of its own peak" else "light" end) else "" end),
        ($p | name) + remarks($row; $p),
        ($m | values(.ops_per_s) | median | n),
        ($m | values(.delivery_p50_us) | spread),
        ($m | values(.delivery_p99_us) | spread),
        ($m | values(.delivery_max_us) | max | n),
        (if $is_first then "1" else ratios($row; $p; .delivery_p50_us) | spread end),
        (if $is_first then "1" else ratios($row; $p; .delivery_p99_us) | median | n end),
        ($m | values(.server_cpu_us_per_op) | median | n)
       ] | line);

def replays($row; $header):
    table_head(["<reader of \($header.replay_records) records of 100 B", "records/s, median (range)",
        "reader CPU µs/record", "server CPU µs/record", "Vigil's ratio, median (range)"]),
    ($row.participants[] as $p | of($row; $p) as $m | [
        ($p | name) + remarks($row; $p),
        ($m | values(.ops_per_s) | spread),
        ($m | values(.client_cpu_us_per_op) | median | n),
        ($m | values(.server_cpu_us_per_op) | median | n),
        (if $p == $row.participants[0] then "1" else ratios($row; $p; .ops_per_s) | spread end)
    ] | line);

# ---- aims --------------------------------------------------------------------------------

def row($name): map(select(.row == $name))[0];
def verdict($met): if $met == null then "not measured" elif $met then "met" else "**not met**" end;
def aim($what; $wanted; $reached; $met): [$what, $wanted, $reached, verdict($met)] | line;

def over($row; $participant):
    "\(ratios($row; $participant; .ops_per_s) | median | n) × (\(
        ratios($row; $participant; per_server_cpu) | median | n) × per second of server CPU)";

# Judged by the fastest of Redis's watched ways; the ratio to a SET that nobody watches is told as well.
def put_aim($rows; $row_name; $what; $server; $least):
    ($rows | row($row_name)) as $row
    | if $row == null then aim($what; "≥ \($least) ×"; "-"; null) else
        ([$row.participants[] | select(startswith("\($server)/set") and endswith("/1"))
          | {name: ., ratio: (. as $p | ratios($row; $p; .ops_per_s) | median)}
          | select(.ratio != null)] | min_by(.ratio)) as $fastest
        | if $fastest == null then aim($what; "≥ \($least) ×"; "-"; null)
          else aim($what; "≥ \($least) ×";
            "\(over($row; $fastest.name)) \($fastest.name | name); \(over($row; "\($server)/set/0")) a SET that nobody watches";
            $fastest.ratio >= $least) end
      end;

def below_aim($rows; $row_name; $participant; $what):
    ($rows | row($row_name)) as $row
    | if $row == null then aim($what; "< 1"; "-"; null) else
        (ratios($row; $participant; .delivery_p50_us) | median) as $p50
        | (ratios($row; $participant; .delivery_p99_us) | median) as $p99
        | aim($what; "< 1"; "p50 \($p50 | n), p99 \($p99 | n)";
            if $p50 == null or $p99 == null then null else $p50 < 1 and $p99 < 1 end)
      end;

def half_load_aim($rows; $mode; $limit; reference; $what; $wanted):
    ($rows | row("delivery-\($mode)-50")) as $half
    | (if $half == null then [] else of($half; "vigil-\(if $mode == "durable" then "power" else "process" end)/put/1") end
       | values(.delivery_p99_us) | median) as $p99
    | (reference | median) as $base
    | if $p99 == null or ($base // 0) == 0 then aim($what; $wanted; "-"; null)
      else aim($what; $wanted; "\($p99 / $base | n) (\($p99 | n) µs over \($base | n) µs)"; $p99 <= $limit * $base) end;

def of_row($rows; $name; $participant; field):
    ($rows | row($name)) as $row
    | if $row == null then [] else of($row; $participant) | values(field) end;

def aims($rows):
    table_head(["<aim, with one watcher attached to everything", "<wanted", "<reached", "<"]),
    put_aim($rows; "durable-50x1"; "durable put, 100 B, 50 × 1, over Redis `always`"; "redis-always"; 1),
    put_aim($rows; "durable-50x16"; "the same, 50 × 16"; "redis-always"; 1.3),
    put_aim($rows; "durable-50x64"; "the same, 50 × 64"; "redis-always"; 1.3),
    put_aim($rows; "process-50x1"; "put in `process` mode, 50 × 1, over Redis `everysec`"; "redis-everysec"; 1.3),
    put_aim($rows; "process-50x16"; "the same, 50 × 16"; "redis-everysec"; 1.3),
    put_aim($rows; "process-50x64"; "the same, 50 × 64"; "redis-everysec"; 1.3),
    below_aim($rows; "delivery-process-light"; "nats/put/1"; "set to delivery, `process`, light load, over JetStream KV's"),
    below_aim($rows; "delivery-process-light"; "redis-everysec/set-publish/1"; "the same over Redis's SET + PUBLISH, with its AOF"),
    below_aim($rows; "delivery-process-light"; "etcd/put/1"; "the same over etcd's"),
    half_load_aim($rows; "process"; 5; of_row($rows; "delivery-process-light"; "vigil-process/put/1"; .delivery_p50_us);
        "set to delivery, `process`, at half of the peak: p99 over the light load's p50"; "≤ 5"),
    half_load_aim($rows; "durable"; 3; of_row($rows; "durable-1x1"; "vigil-power/put/1"; .p50_us);
        "the same, durable: p99 over a lone put's p50, which is one commit"; "≤ 3"),
    (($rows | row("replay")) as $row
     | (if $row == null then [] else ratios($row; "nats/publish/0"; .ops_per_s) end) as $r
     | aim("replay over JetStream's ordered consumer"; "≥ 5 ×"; ($r | spread);
        if ($r | length) == 0 then null else ($r | median) >= 5 end));

# ---- the document ------------------------------------------------------------------------

def section($title; rows_of; body): if (rows_of | length) == 0 then empty else "", "### \($title)", "", body end;

def document($header; $rows):
    def named($pattern): $rows | map(select(.row | test($pattern)));
    "Measured on \($header.date) at \($header.commit): \($header.kernel), \($header.cores) cores, \($header.cpu), \($header.file_system).",
    "\($header.rounds) rounds of \($header.duration) a measurement; "
        + ([$header.versions | to_entries[] | "\(.key) \(.value)"] | join(", ")) + ".",
    "",
    "† acknowledges before it syncs: Redis `everysec` syncs about once a second, Vigil `process` at its `--sync-interval` (1 s),",
    "JetStream after minutes (the `sync_interval` that could change that came after version 2.9). The others acknowledge what is on",
    "the disk. *Range*: least to most of the rounds. *Vigil\u0027s ratio*: its figure over the other\u0027s of the same round, so above 1 it is",
    "ahead in throughput and below 1 in latency.",
    "",
    "One thread drives all clients of a system, each with a connection of its own; requests are pipelined, and what is queued leaves",
    "in one write. Everything goes over TCP on loopback. A watcher holds the value, in another process. Settings beside the defaults:",
    "Redis neither snapshots nor rewrites its file, and keeps 1 GB for a subscriber that is behind, where it would cut it off at 32 MB;",
    "its SET and PUBLISH go together without a MULTI, which would cost a fifth. etcd logs errors only (else a line for each request",
    "beyond 100 ms) and may store 8 GiB. JetStream\u0027s acknowledgements are taken without libnats\u0027s thread in between.",
    section("Aims that concern these"; $rows; aims($rows)),
    section("Durable put"; named("^durable-[0-9]+x[0-9]+$"); throughput(named("^durable-[0-9]+x[0-9]+$"); "clients × depth")),
    section("Put that survives the server's end"; named("^process-[0-9]+x[0-9]+$"); throughput(named("^process-[0-9]+x[0-9]+$"); "clients × depth")),
    section("Sizes of values, 50 × 16, durable"; named("^durable-.*-[0-9]+$"); throughput(named("^durable-.*-[0-9]+$"); "size")),
    section("Sizes of values, 50 × 16, acknowledged before the sync"; named("^process-.*-[0-9]+$"); throughput(named("^process-.*-[0-9]+$"); "size")),
    section("Counters"; named("^incr-"); throughput(named("^incr-"); "clients × depth")),
    section("Set to delivery, durable"; named("^delivery-durable"); deliveries(named("^delivery-durable"))),
    section("Set to delivery, acknowledged before the sync"; named("^delivery-process"); deliveries(named("^delivery-process"))),
    section("Watchers of everything, 50 × 16"; named("^watchers-"); throughput(named("^watchers-"); "watchers")),
    section("Replay from the beginning"; named("^replay$"); replays(named("^replay$")[0]; $header));

# ---- plots -------------------------------------------------------------------------------

# Blocks divided by two empty lines, each under its name: gnuplot's index. None is left out, so that
# each has its colour.
def block($name; lines):
    "\"\($name | gsub("`"; ""))\"", ([lines] | if length == 0 then "? ? ? ?" else .[] end), "", "";

def depth_block($rows; $mode; $clients; $participant):
    block("\($participant | name), \($clients) client\(if $clients == 1 then "" else "s" end)";
        (1, 16, 64) as $depth
        | of_row($rows; "\($mode)-\($clients)x\($depth)"; $participant; .ops_per_s)
        | select(length > 0) | "\($depth) \(median) \(min) \(max)");

def delivery_block($rows; $mode; $participant):
    block($participant | name;
        [$rows[] | select(.row | startswith("delivery-\($mode)-")) | of(.; $participant)
         | select(length > 0)
         | [values(.ops_per_s), values(.delivery_p50_us), values(.delivery_p99_us)] | map(median)]
        | sort[] | map(tostring) | join(" "));

def watchers_block($rows; $participant):
    block("\($participant)/1" | name;
        (1, 10, 100) as $count
        | of_row($rows; "watchers-\($count)"; "\($participant)/\($count)"; .ops_per_s)
        | select(length > 0) | "\($count) \(median) \(min) \(max)");

def plot_data($rows):
    if $plot == "throughput-depth" then
        depth_block($rows; "durable"; 1, 50;
            "vigil-power/put/1", "redis-always/set-publish/1", "etcd/put/1"),
        depth_block($rows; "process"; 1, 50;
            "vigil-process/put/1", "redis-everysec/set-publish/1", "nats/put/1")
    elif $plot == "delivery-load" then
        delivery_block($rows; "durable"; "vigil-power/put/1", "redis-always/set-publish/1", "etcd/put/1"),
        delivery_block($rows; "process"; "vigil-process/put/1", "redis-everysec/set-publish/1", "nats/put/1")
    elif $plot == "throughput-watchers" then
        watchers_block($rows; "vigil-process/put", "redis-everysec/set-publish", "redis-everysec/xadd", "nats/put", "etcd/put")
    else error("no plot '\($plot)'") end;

map(select(.header != null))[0] as $header
| if $header == null then error("the file has no header") else . end
| (map(select(.header == null)) | by_row) as $rows
| if $plot == "" then document($header; $rows) else plot_data($rows) end
