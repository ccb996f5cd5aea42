#!/usr/bin/env bash
# Trains with one worker on each of several hosts: ./launch/ssh.sh --hosts=h1,h2 [flags of pipeline.train]
#
# --hosts=H,H          the hosts, as ssh and the workers among themselves reach them (ssh may need USER@HOST)
# --host_file=FILE     the same, one a line; # begins a comment
# --port=9000          the workers' port on every host, TCP and UDP
# --remote_dir=DIR     the project's directory there (default: the same as here)
# --ssh='ssh -p 2222'  ssh with options
# With --min_workers=M the others go on without a host that is lost, and it is tried again until they have finished.
# --dry_run prints what would run where, and a firewall's rules; --preflight checks it. The exit code is the one that
# says most of all hosts'.
#
# The remote supervisors stop when their stdin ends. It is a pipe that this process alone holds open, so they do as soon
# as it ends, be it by a SIGKILL. Its first line is the job's secret, by which the workers know each other's messages.
set -uo pipefail
# shellcheck source=launch/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

port=9000 remote_dir=$project
python=$venv/bin/python
[ -x "$python" ] || python=$(find_python) || exit
readonly leave_s=120 # for the others, once the first has left
readonly again_s=5   # before a lost host is tried again
secret=${PIPELINE_JOB_SECRET:-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}
ssh=(ssh) hosts=() flags=() jobs=() codes=() dry_run='' elastic='' turns=0

usage() {
    echo "usage: $1; ./launch/ssh.sh --hosts=h1,h2 [--port=9000] [flags of pipeline.train]" >&2
    exit 64
}

for argument in "$@"; do
    value=${argument#*=}
    case $argument in
        --hosts=*) IFS=', ' read -r -a hosts <<<"$value" ;;
        --host_file=*)
            [ -f "$value" ] || usage "host_file=$value is no file"
            mapfile -t hosts < <(sed 's/#.*//' "$value" | tr -s ' \t' '\n' | grep .)
            ;;
        --port=*) port=$value ;;
        --remote_dir=*) remote_dir=$value ;;
        --ssh=*) read -r -a ssh <<<"$value" ;;
        --dry_run | --dry_run=true) dry_run=1 ;;
        *)
            [[ $argument != --min_workers=[1-9]* ]] || elastic=1
            flags+=("$argument")
            ;;
    esac
done
[ ${#hosts[@]} -gt 0 ] || usage "no host is given"
addresses=''
for index in "${!hosts[@]}"; do
    host=${hosts[index]//[\[\]]/} # ssh takes an address of IPv6 without brackets, the workers take it in brackets
    hosts[index]=$host host=${host##*@}
    [[ $host != *:* ]] || host="[$host]"
    addresses+="$host:$port,"
done
ssh+=(-o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=20)

# What host number $1 is to run.
remote_command() {
    local words=(./launch/supervise.sh --end_with_stdin "--worker_addresses=${addresses%,}" "--worker_index=$1")
    words+=(${flags[@]+"${flags[@]}"})
    echo "cd ${remote_dir@Q} && read -r PIPELINE_JOB_SECRET && export PIPELINE_JOB_SECRET && exec ${words[*]@Q}"
}

# Its stdin is the common pipe, before which the secret is put; printf is bash's own, so that no list of processes shows
# it. The substitution stands before the pipeline, which would else wait for it.
on_host() {
    exec 4< <(printf '%s\n' "$secret" && exec cat)
    "${ssh[@]}" "${hosts[$1]}" "$(remote_command "$1")" <&4 4<&- 2>&1 | sed -u "s/^/${hosts[$1]} | /" 4<&-
    local code=${PIPESTATUS[0]}
    [ "$code" -ne 255 ] || echo "${hosts[$1]} cannot be reached any more, or not at all: try ${ssh[*]} ${hosts[$1]} true" >&2
    return "$code"
}

# With --min_workers, comes back to a host that was lost, until stdin ends: a read with a time limit tells both apart.
keep_on_host() {
    local code
    while true; do
        on_host "$1"
        code=$?
        [[ $elastic && $code -eq 255 ]] || return "$code"
        : >"$pipe.lost$1"
        read -r -t "$again_s"
        [ $? -gt 128 ] || return "$code"
        rm "$pipe.lost$1"
    done
}

if [ "$dry_run" ]; then
    for index in "${!hosts[@]}"; do echo "${ssh[*]} ${hosts[$index]} $(remote_command "$index")"; done
    cd "$project" && exec "$python" -m pipeline.workers.firewall "${addresses%,}"
fi

stop() { exec 3>&-; } # the end of everyone's stdin
trap stop INT TERM USR1
pipe=$(mktemp -d)/stdin && mkfifo "$pipe" && exec 3<>"$pipe" || exit
for index in "${!hosts[@]}"; do
    keep_on_host "$index" <"$pipe" 3>&- & # in this order, so that at any moment someone holds the pipe open
    jobs+=($!)
done
# No $( ) here: a trap that comes while bash 5.2 reads one can fail to be parsed, and the signal is lost.
count_running() {
    running=0 lost=0 ends=''
    for index in "${!jobs[@]}"; do
        if kill -0 "${jobs[$index]}" 2>/dev/null; then
            ((running += 1))
            [ ! -e "$pipe.lost$index" ] || ((lost += 1))
            continue
        fi
        if [ ! "${codes[$index]-}" ]; then
            wait "${jobs[$index]}"
            codes[index]=$?
        fi
        # With --min_workers the end of one host is the end of all only if it says how the job ended.
        [[ $elastic && ${codes[$index]} =~ ^(64|74|76|255)$ ]] || ends=1
    done
}
while count_running && ((running > 0)); do
    [ ! "$ends" ] || (((turns += 1) <= leave_s * 2 && lost < running)) || stop
    sleep 0.5
done
rm -r "$(dirname "$pipe")"

if [[ $elastic && " ${codes[*]} " == *" 0 "* ]]; then codes=(0); fi # finished, whichever hosts were lost on the way
cd "$project" && exec "$python" -m pipeline.process.exits "${codes[@]/#255/76}" # 255 is ssh's own: that host is lost
