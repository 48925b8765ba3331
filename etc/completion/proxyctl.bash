# shellcheck shell=bash
# bash completion for proxyctl: commands and options, names and sockets of running proxies, ids of their sessions.
# To be installed as /usr/share/bash-completion/completions/proxyctl.

_proxyctl_filters='--client --server --acl --type --worker --idle --older'

# What the running proxy says, with the words that chose it on the command line; nothing where it cannot be asked.
_proxyctl_ask() {
    local chosen=() index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            -n | -s | --name | --socket) chosen+=("${COMP_WORDS[index]}" "${COMP_WORDS[index + 1]}") ;;
        esac
    done
    timeout 10 "${COMP_WORDS[0]}" "${chosen[@]}" "$@" 2>/dev/null
}

_proxyctl_names() {
    local path
    for path in /run/udp-proxy-*.ctl /run/uftpproxyd-*.ctl; do
        [ -S "$path" ] && basename "$path" .ctl | sed 's/^udp-proxy-//; s/^uftpproxyd-//'
    done
}

# The command on the line, if it is complete.
_proxyctl_command() {
    local index
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            -n | -s | --name | --socket) ((index++)) ;;
            -*) ;;
            *)
                echo "${COMP_WORDS[index]}"
                return
                ;;
        esac
    done
}

_proxyctl_words() {
    case $1 in
        '') echo '-h --help -n --name -s --socket -v --version' ;;
        top) echo "--json -i --interval --once $_proxyctl_filters" ;;
        sessions) echo "--json --sort --limit $_proxyctl_filters" ;;
        kill) echo "--json --all $_proxyctl_filters" ;;
        explain) echo '--json --group --tos --transparent --direct' ;;
        reload) echo '--json --dry-run' ;;
        drain) echo '--json --timeout --wait' ;;
        users) echo '--json --user --group --address --by-group' ;;
        tap) echo '--json -w --write -c --count -b --bytes -t --time -s --snap --side' ;;
        doctor | capacity) echo '--json -f --file' ;;
        *) echo '--json' ;;
    esac
}

_proxyctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command words=
    command=$(_proxyctl_command)
    case $command:$previous in
        tap:-s) return ;;
        tap:-w | tap:--write)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
    esac
    case $previous in
        -n | --name) words=$(_proxyctl_names) ;;
        -s | --socket | -f | --file)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --type) words='one-way normal any-port any-sock broadcast' ;;
        --side) words='client server' ;;
        --sort) words='acl age bytes client datagrams ends idle server' ;;
        --acl) words=$(_proxyctl_ask sessions | awk 'NR > 1 { print $4 }' | sort -u) ;;
        --client | --server | --worker | --idle | --older | --limit | --timeout | --group | --tos | --user | --address) return ;;
        -c | --count | -b | --bytes | -t | --time | --snap | -i | --interval) return ;;
        *)
            if [[ $current == -* ]]; then
                words=$(_proxyctl_words "$command")
            else
                case $command in
                    '') words='status sessions session kill loglevel explain reload upgrade drain doctor capacity users groups tap top' ;;
                    session | kill | tap) words=$(_proxyctl_ask sessions | awk 'NR > 1 { print $1 }') ;;
                    loglevel) words='3 4 5 6 7 8 9 + -' ;;
                    users) words='add remove' ;;
                esac
            fi
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _proxyctl proxyctl
