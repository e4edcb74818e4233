#!/usr/bin/env bash
# Measures Vigil beside Redis, NATS JetStream and etcd, and makes the comparison in docs/performance.md.
#
#   bench/compare.sh [OPTION]...          measures, keeps the raw results and renders them
#   bench/compare.sh --render FILE        only renders what an earlier run has kept
#
#   --rounds N       how often each row is measured (5)
#   --duration TIME  of each measurement (1s)
#   --quick          2 rounds of 300ms each, to try it: rough figures, and the documents stay as they are
#   --only PATTERN   rows whose name matches (a shell pattern, "durable-*"); documents stay as they are
#   --list           the rows, each with those who take part in it
#   --data DIR       the disk that is measured (TMPDIR, else /var/tmp)
#   --raw FILE       where the raw results go (bench/results/compare.ndjson; a partial run's:
#                    build/compare/partial.ndjson)
#   --docs DIR       the documents that rendering changes (docs)
#   --no-install     take the packages and the programs of build/compare as they are
#
# Every peer is a Debian package, installed if it is missing. Servers run on loopback ports of their
# own, in a folder that goes away, fresh for each row; the peers of a row are measured in turns, in
# another order each round, while the servers of the others idle. All are put under load by the same
# generator (bench/peers). A full run takes about 17 minutes, and wants the machine for itself.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly programs=build/compare/bin
readonly start_attempts_max=3
readonly measurement_seconds_max=180
readonly peak_options="--clients 50 --depth 64 --size 100"

rounds=5
duration=1s
warmup=200ms
replay_records=500K
only='*'
whole=yes
action=measure
render_file=
data=${TMPDIR:-/var/tmp}
raw=
docs=docs
install=yes

die() {
    echo "compare: $*" >&2
    exit 1
}

usage() {
    sed -n '2,22s/^# \{0,1\}//p' "$0"
}

value_of() { # OPTION COUNT-OF-ARGUMENTS
    (($2 >= 2)) || {
        echo "compare: $1 wants a value (see --help)" >&2
        exit 2
    }
}

while (($# > 0)); do
    case $1 in
    --rounds | --duration | --only | --data | --raw | --docs | --render) value_of "$1" $# ;;
    esac
    case $1 in
    --rounds) rounds=$2 && shift ;;
    --duration) duration=$2 && shift ;;
    --quick) rounds=2 duration=300ms warmup=100ms replay_records=100K whole=no ;;
    --only) only=$2 whole=no && shift ;;
    --list) action=list ;;
    --data) data=$2 && shift ;;
    --raw) raw=$2 && shift ;;
    --docs) docs=$2 && shift ;;
    --render) action=render render_file=$2 && shift ;;
    --no-install) install=no ;;
    -h | --help) usage && exit 0 ;;
    *)
        echo "compare: unknown option '$1' (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "--rounds takes a number from 1 on, not '$rounds'"
if [[ -z $raw ]]; then
    raw=build/compare/partial.ndjson
    [[ $whole == no ]] || raw=bench/results/compare.ndjson
fi

# ---- what is measured ----------------------------------------------------------------------
# A line is: row; kind; options of the load; those who take part, the first being what the others are
# divided by. A participant is server/operation/watchers. Kinds: closed, paced, share (options name the
# share of the participant's own peak), replay.
rows() {
    local plan load size count share
    for plan in 1x1 1x16 1x64 50x1 50x16 50x64; do
        load="closed; --clients ${plan%x*} --depth ${plan#*x} --size 100;"
        # One connection: what the plot needs. Many: also what Redis offers besides.
        case $plan in
        1x16 | 1x64)
            echo "durable-$plan; $load vigil-power/put/1 redis-always/set-publish/1 etcd/put/1"
            echo "process-$plan; $load vigil-process/put/1 redis-everysec/set-publish/1 nats/put/1"
            ;;
        1x1)
            echo "durable-$plan; $load vigil-power/put/1 redis-always/set/0" \
                "redis-always/set-publish/1 etcd/put/1"
            echo "process-$plan; $load vigil-process/put/1 redis-everysec/set/0" \
                "redis-everysec/set-publish/1 nats/put/1"
            ;;
        *)
            echo "durable-$plan; $load vigil-power/put/1 redis-always/set/0 redis-always/set/1" \
                "redis-always/set-publish/1 redis-always/xadd/1 etcd/put/1"
            echo "process-$plan; $load vigil-process/put/1 redis-everysec/set/0 redis-everysec/set/1" \
                "redis-everysec/set-publish/1 redis-everysec/xadd/1 nats/put/1 nats/publish/1"
            ;;
        esac
    done
    for size in 16 1024 65536; do
        load="closed; --clients 50 --depth 16 --size $size --keys 1000;"
        echo "durable-50x16-$size; $load vigil-power/put/1 redis-always/set-publish/1 etcd/put/1"
        echo "process-50x16-$size; $load vigil-process/put/1 redis-everysec/set-publish/1 nats/put/1"
    done
    for plan in 50x1 50x16; do
        load="closed; --clients ${plan%x*} --depth ${plan#*x};"
        echo "incr-durable-$plan; $load vigil-power/incr/1 redis-always/incr/0 redis-always/incr/1"
        echo "incr-process-$plan; $load vigil-process/incr/1 redis-everysec/incr/0" \
            "redis-everysec/incr/1"
    done
    load="paced; --rate 1000 --clients 1 --depth 64 --size 100;"
    echo "delivery-durable-light; $load vigil-power/put/1 redis-always/set-publish/1" \
        "redis-always/xadd/1 etcd/put/1"
    echo "delivery-process-light; $load vigil-process/put/1 redis-everysec/set-publish/1" \
        "redis-everysec/xadd/1 nats/put/1 etcd/put/1"
    for share in 25 50 75; do
        echo "delivery-durable-$share; share; $share; vigil-power/put/1 redis-always/set-publish/1" \
            "etcd/put/1"
        echo "delivery-process-$share; share; $share; vigil-process/put/1" \
            "redis-everysec/set-publish/1 nats/put/1"
    done
    for count in 1 10 100; do
        echo "watchers-$count; closed; --clients 50 --depth 16 --size 100; vigil-process/put/$count" \
            "redis-everysec/set-publish/$count redis-everysec/xadd/$count nats/put/$count" \
            "etcd/put/$count"
    done
    echo "replay; replay; --size 100; vigil-process/put/0 nats/publish/0 redis-everysec/xadd/0"
}

wanted_rows() {
    local line
    while IFS= read -r line; do
        # shellcheck disable=SC2053 # a pattern, on purpose
        [[ ${line%%;*} != $only ]] || printf '%s\n' "$line"
    done < <(rows)
}

if [[ $action == list ]]; then
    wanted_rows | awk -F'; *' '{print $1 ": " $4}'
    exit 0
fi

# ---- rendering -----------------------------------------------------------------------------

render() { # RAW-FILE
    bench/compare-table "$1" >/dev/null || die "cannot read $1"
    bench/compare-table --into "$docs/performance.md" "$1"
    command -v gnuplot >/dev/null || {
        echo "compare: there is no gnuplot, so the plots stay as they are" >&2
        return 0
    }
    local plot
    mkdir -p "$docs/plots"
    for plot in throughput-depth delivery-load throughput-watchers; do
        bench/compare-table --plot $plot "$1" >"$work/$plot.dat"
        # It warns of every line that was not measured.
        gnuplot -e "data='$work/$plot.dat'; out='$work/$plot.svg'" bench/plots/$plot.gp \
            2>"$work/gnuplot.log" || {
            cat "$work/gnuplot.log" >&2
            die "cannot plot $plot"
        }
        cp "$work/$plot.svg" "$docs/plots/$plot.svg"
    done
}

# ---- servers -------------------------------------------------------------------------------

work=
declare -A pid_of=() address_of=()

stop_servers() {
    local server
    for server in "${!pid_of[@]}"; do
        kill "${pid_of[$server]}" 2>/dev/null || true
    done
    for server in "${!pid_of[@]}"; do
        wait "${pid_of[$server]}" 2>/dev/null || true
    done
    pid_of=()
    address_of=()
    [[ -z $work ]] || rm -rf "$work/servers"
}

clean_up() {
    local status=$?
    trap - EXIT
    stop_servers
    if ((status != 0)) && [[ -n $work && -s $work/results ]]; then
        { header && cat "$work/results"; } >build/compare/interrupted.ndjson
        echo "compare: what was measured until then: build/compare/interrupted.ndjson" >&2
    fi
    [[ -z $work ]] || rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

work=$(mktemp -d "$data/vigil-compare-XXXXXX")

if [[ $action == render ]]; then
    render "$render_file"
    exit 0
fi

# Below the range from which the system hands out ports by itself.
free_port() {
    local port attempt
    for attempt in {1..100}; do
        port=$((10000 + RANDOM % 20000))
        if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo $port
            return 0
        fi
    done
    die "found no free port in $attempt attempts"
}

# Each launches in the folder $1 and leaves pid and address behind; ready_NAME says that it serves.
launch_vigil() { # FOLDER DURABILITY
    "$programs/vigild" --listen tcp://127.0.0.1:0 --data "$1/data" --durability "$2" \
        >"$1/ready" 2>"$1/log" &
    pid=$!
    address=
}

ready_vigil() { # FOLDER
    local word
    read -r word address _ <"$1/ready" && [[ $word == ready ]]
}

# No snapshots beside the append-only file, and no rewriting of that while it is measured.
launch_redis() { # FOLDER APPENDFSYNC
    local port
    port=$(free_port)
    redis-server --bind 127.0.0.1 --port "$port" --dir "$1" --save '' --appendonly yes \
        --appendfsync "$2" --auto-aof-rewrite-percentage 0 --daemonize no >"$1/log" 2>&1 &
    pid=$!
    address=127.0.0.1:$port
}

ready_redis() {
    grep -q 'Ready to accept connections' "$1/log"
}

launch_nats() { # FOLDER
    cat >"$1/conf" <<END
host: "127.0.0.1"
port: -1
ports_file_dir: "$1"
jetstream { store_dir: "$1/store", max_memory_store: 64MB, max_file_store: 64GB }
END
    nats-server -c "$1/conf" >"$1/log" 2>&1 &
    pid=$!
    address=
}

ready_nats() {
    grep -q 'Server is ready' "$1/log" || return 1
    local file
    for file in "$1"/*.ports; do
        [[ -s $file ]] || return 1
        address=$(jq -r '.nats[0] | sub("^nats://"; "")' "$file") && [[ $address == *:* ]]
    done
}

# At its usual log level etcd writes a line for each request that took 100 ms: under load, for all.
launch_etcd() { # FOLDER
    local port peer_port
    port=$(free_port)
    peer_port=$(free_port)
    etcd --data-dir "$1/data" --listen-client-urls "http://127.0.0.1:$port" \
        --advertise-client-urls "http://127.0.0.1:$port" \
        --listen-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-cluster "default=http://127.0.0.1:$peer_port" \
        --quota-backend-bytes $((8 << 30)) --logger zap --log-level error >"$1/log" 2>&1 &
    pid=$!
    address=127.0.0.1:$port
}

ready_etcd() {
    local connection status=0
    exec {connection}<>"/dev/tcp/${address/://}" || return 1
    printf 'GET /health HTTP/1.0\r\n\r\n' >&"$connection"
    grep -q '"health":"true"' <&"$connection" || status=1
    exec {connection}>&-
    return $status
}

# start_server NAME: vigil-power, redis-always, nats, ...
start_server() {
    local name=$1 kind=${1%%-*} pid address attempt tick
    local folder=$work/servers/$name
    for ((attempt = 0; attempt < start_attempts_max; attempt++)); do
        rm -rf "$folder"
        mkdir -p "$folder"
        "launch_$kind" "$folder" "${name#*-}"
        pid_of[$name]=$pid
        for ((tick = 0; tick < 400; tick++)); do
            if "ready_$kind" "$folder" 2>/dev/null; then
                address_of[$name]=$address
                return 0
            fi
            # It may have lost its port to somebody else.
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        unset "pid_of[$name]"
    done
    echo "compare: the last words of $name:" >&2
    tail -n 5 "$folder/log" >&2 || true
    die "$name does not start"
}

# ---- measurements --------------------------------------------------------------------------

progress() {
    [[ ! -t 2 ]] || printf '\r\e[K%s' "$*" >&2
}

# measure ROW KIND ROUND POSITION PARTICIPANT OPTION...: appends one object to the results, a failure
# as well: that a peer cannot do something is a result.
measure() {
    local row=$1 kind=$2 round=$3 position=$4 participant=$5 server operation watchers
    shift 5
    IFS=/ read -r server operation watchers <<<"$participant"
    local arguments=("$operation" --server "${address_of[$server]}" --server-pid "${pid_of[$server]}"
        --row "$row" "$@")
    [[ $kind == replay ]] || arguments+=(--watchers "$watchers" --duration "$duration"
        --warmup "$warmup")
    progress "$row, round $round of $rounds: $participant"
    local result=$work/result
    if ! timeout --foreground "$measurement_seconds_max" "$programs/vigil-peer-${server%%-*}" \
        "${arguments[@]}" >"$result" 2>"$work/error"; then
        jq -nc --arg text "$(tail -c 300 "$work/error")" '{failed: $text}' >"$result"
        echo "compare: $row: $participant: $(tail -n 1 "$work/error")" >&2
    fi
    jq -c --arg row "$row" --arg kind "$kind" --argjson round "$round" --argjson position "$position" \
        --arg participant "$participant" --arg server "$server" \
        'del(.machine, .server) | {row: $row, kind: $kind, round: $round, position: $position,
            participant: $participant, system: $server} + .' "$result" >>"$work/results"
}

# The most that the participant was seen to do: of the rows so far, else of one measurement for this.
peak_of() { # PARTICIPANT
    local found
    found=$(jq -s --arg participant "$1" '[.[] | select(.participant == $participant
        and .kind == "closed" and .size == 100 and .ops_per_s != null)] | group_by(.row)
        | map(map(.ops_per_s) | sort | .[length / 2 | floor]) | max // 0 | floor' "$work/results")
    if ((found == 0)); then
        # shellcheck disable=SC2086 # words
        measure peak closed 1 0 "$1" $peak_options
        found=$(jq -s 'last | .ops_per_s // 0 | floor' "$work/results")
    fi
    echo "$found"
}

measure_row() { # ROW KIND OPTIONS PARTICIPANT...
    local row=$1 kind=$2 options=$3 round turn position server participant
    shift 3
    local participants=("$@") rates=() more=()
    for participant in "$@"; do
        server=${participant%%/*}
        [[ -n ${pid_of[$server]:-} ]] || start_server "$server"
    done
    for ((position = 0; position < $#; position++)); do
        participant=${participants[position]}
        case $kind in
        share) rates[position]=$(($(peak_of "$participant") * options / 100)) ;;
        replay)
            # Written once; a reader that is thrown away shows that it is there.
            # shellcheck disable=SC2086
            measure "$row-written" replay 1 "$position" "$participant" $options --replay --runs 1 \
                --records "$replay_records"
            ;;
        esac
    done
    for ((round = 1; round <= rounds; round++)); do
        for ((turn = 0; turn < $#; turn++)); do
            position=$(((turn + round - 1) % $#))
            # shellcheck disable=SC2206 # words
            case $kind in
            share) more=(--rate "${rates[position]}" ${peak_options}) ;;
            replay) more=($options --replay --runs 1 --records "$replay_records" --no-write) ;;
            *) more=($options) ;;
            esac
            measure "$row" "$kind" "$round" "$position" "${participants[position]}" "${more[@]}"
        done
    done
    stop_servers
}

header() {
    local dirty=
    [[ -z $(git status --porcelain -- '*.c' '*.h' '*.txt' '*.cmake') ]] || dirty=+changes
    package_version() {
        dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown
    }
    jq -nc --arg date "$(date -u +%Y-%m-%d)" --arg cores "$(nproc)" \
        --arg cpu "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" \
        --arg kernel "$(uname -sr)" --arg fs "$(df --output=fstype "$work" | tail -n 1)" \
        --arg commit "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)$dirty" \
        --arg redis "$(package_version redis-server)" --arg nats "$(package_version nats-server)" \
        --arg etcd "$(package_version etcd-server)" --arg zmq "$(package_version libzmq5)" \
        --arg lmdb "$(package_version liblmdb0)" --arg libnats "$(package_version libnats-dev)" \
        --arg hiredis "$(package_version libhiredis-dev)" \
        --arg nghttp2 "$(package_version libnghttp2-dev)" \
        --arg rounds "$rounds" --arg duration "$duration" --arg warmup "$warmup" \
        --arg records "$replay_records" \
        '{header: 1, date: $date, cores: ($cores | tonumber), cpu: $cpu, kernel: $kernel,
          file_system: $fs, commit: $commit, rounds: ($rounds | tonumber), duration: $duration,
          warmup: $warmup, replay_records: $records,
          versions: {"redis-server": $redis, "nats-server": $nats, "etcd-server": $etcd,
                     libzmq5: $zmq, liblmdb0: $lmdb, libnats: $libnats, libhiredis: $hiredis,
                     libnghttp2: $nghttp2}}'
}

if [[ $install == yes ]]; then
    progress "installing what is missing"
    scripts/install-deps.sh --peers >&2
    progress "building"
    {
        cmake -S . -B build/compare -G Ninja -DCMAKE_BUILD_TYPE=Release -DVIGIL_BENCH_PEERS=ON \
            -DVIGIL_TESTS=OFF
        cmake --build build/compare -j 2
    } >"$work/build.log" 2>&1 || {
        tail -n 30 "$work/build.log" >&2
        die "the build failed"
    }
fi
for program in vigild vigil-peer-{vigil,redis,nats,etcd}; do
    [[ -x $programs/$program ]] || die "there is no $programs/$program"
done
for program in redis-server nats-server etcd jq; do
    command -v "$program" >/dev/null || die "there is no $program"
done

mapfile -t lines < <(wanted_rows)
((${#lines[@]} > 0)) || die "no row matches '$only' (see --list)"
: >"$work/results"
for line in "${lines[@]}"; do
    IFS=';' read -r row kind options participants <<<"$line"
    # shellcheck disable=SC2086 # words
    measure_row "$row" "${kind# }" "${options# }" $participants
done
progress

mkdir -p "$(dirname "$raw")"
{
    header
    cat "$work/results"
} >"$work/raw"
cp "$work/raw" "$raw"
if [[ $whole == yes ]]; then
    render "$raw"
else
    bench/compare-table "$raw"
    echo "compare: raw results: $raw; the documents are as they were" >&2
fi
