#!/usr/bin/env bash
# Prints the settings that let this machine hold N connections, sets them, or puts them
# back. Only what is too low is named: a setting is raised, never lowered.
#
#   scripts/tune.sh N             prints them, for /etc/sysctl.d and systemd
#   scripts/tune.sh N --apply     sets them until the next boot (as root)
#   scripts/tune.sh --undo        puts back what --apply found
#
#   STATE    file that --apply keeps the old values in   [/run/reactor-server-tune]
#   SYSCTL   folder of the kernel's settings             [/proc/sys]
#
# The limit of descriptors belongs to a process and its parents: it is printed and never
# set. `server --check --max-connections N` shows what is short, and docs/limits.md why.
# Exits with 1 if a setting cannot be read or set, 2 for wrong usage.
set -euo pipefail

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
fail() { echo "error: $*" >&2; exit 1; }
state=${STATE:-/run/reactor-server-tune} sysctl=${SYSCTL:-/proc/sys}
connections='' action=print
for word in "$@"; do
    case $word in
        -h | --help) usage; exit ;;
        --apply | --undo) action=${word#--} ;;
        *)
            [[ -z $connections && $word =~ ^[1-9][0-9]{0,9}$ ]] || { usage >&2; exit 2; }
            connections=$word
            ;;
    esac
done
[[ -n $connections || $action == undo ]] || { usage >&2; exit 2; }
[[ -z $connections || $action != undo ]] || { usage >&2; exit 2; }

path() { echo "$sysctl/${1//.//}"; }
value() { tr '\t' ' ' <"$(path "$1")"; }
# put NAME VALUE
put() { echo "$2" >"$(path "$1")" || fail "cannot set $1: run it as root"; }

if [[ $action == undo ]]; then
    [[ -r $state ]] || fail "there is nothing to undo: no $state"
    while read -r name old; do
        put "$name" "$old"
        echo "$name = $old"
    done <"$state"
    rm "$state"
    exit
fi

wanted=()
# least NAME VALUE: a setting that must be at least that.
least() {
    local now
    [[ -r $(path "$1") ]] || return 0
    now=$(value "$1")
    ((now >= $2)) || wanted+=("$1 $2")
}
# Clients that may connect at one moment, before the acceptor runs.
burst=$((connections < 4096 ? connections : 4096))
descriptors=$((connections + 10000))
read -r open _ <"$(path fs.file-nr)" || fail "cannot read $(path fs.file-nr)"
least fs.nr_open "$descriptors"
# Both ends, if the clients are on this machine.
least fs.file-max $((open + 2 * connections + 10000))
least net.core.somaxconn "$burst"
least net.ipv4.tcp_max_syn_backlog "$burst"
conntrack=$(path net.netfilter.nf_conntrack_count)
[[ ! -r $conntrack ]] || least net.netfilter.nf_conntrack_max $(($(<"$conntrack") + connections))
# For clients on this machine, each of whose addresses has so many ports.
[[ ! -r $(path net.ipv4.ip_local_port_range) || $(value net.ipv4.ip_local_port_range) == "1024 65535" ]] ||
    ((connections <= 28000)) || wanted+=("net.ipv4.ip_local_port_range 1024 65535")

case $action in
    print)
        echo "# /etc/sysctl.d/90-connections.conf, for $connections connections"
        ((${#wanted[@]})) || echo "# nothing is too low"
        for setting in "${wanted[@]}"; do echo "${setting%% *} = ${setting#* }"; done
        hard=$(ulimit -Hn)
        [[ $hard == unlimited ]] || ((hard >= descriptors)) || printf '%s\n' '' \
            "# The hard limit of descriptors is $hard. In the unit of a service:" \
            "#   [Service]" "#   LimitNOFILE=$descriptors" \
            "# or in /etc/security/limits.d/90-connections.conf, for those who log in:" \
            "#   * - nofile $descriptors"
        ;;
    apply)
        [[ ! -e $state ]] || fail "applied already: undo that first ($state)"
        for setting in "${wanted[@]}"; do
            # Before it is set, so that an undo always knows it.
            echo "${setting%% *} $(value "${setting%% *}")" >>"$state" || fail "cannot write $state"
            put "${setting%% *}" "${setting#* }"
            echo "${setting%% *} = ${setting#* }"
        done
        ((${#wanted[@]})) || echo "nothing is too low"
        ;;
esac
