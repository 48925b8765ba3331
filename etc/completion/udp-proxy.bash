# shellcheck shell=bash
# bash completion for udp-proxy, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/bash-completion/completions/udp-proxy.

_udp_proxy() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        -d) mapfile -t COMPREPLY < <(compgen -W '3 4 5 6 7 8 9' -- "$current") ;;
        -f) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -P) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        *)
            case $current in
                -* | "") mapfile -t COMPREPLY < <(compgen -W '-h -v -d -f -P --check --foreground --takeover' -- "$current"; :) ;;
                *) mapfile -t COMPREPLY < <(:) ;;
            esac
            ;;
    esac
}

complete -F _udp_proxy udp-proxy
