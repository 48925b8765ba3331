# shellcheck shell=bash
# bash completion for uftpproxyd, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/bash-completion/completions/uftpproxyd.

_uftpproxyd() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        -s) : ;;
        -p) : ;;
        -q) : ;;
        -t) : ;;
        -Q) : ;;
        -N) : ;;
        -O) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net)" -- "$current") ;;
        -I) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net)" -- "$current") ;;
        -M) : ;;
        -U) : ;;
        -H) : ;;
        -h) : ;;
        -k) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -K) : ;;
        -e) : ;;
        -C) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -S) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -x) : ;;
        -L) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -P) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        -g) : ;;
        -n) : ;;
        -B) : ;;
        --workers) : ;;
        --user) : ;;
        --chroot) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        --control) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        --monitor) mapfile -t COMPREPLY < <(compgen -W 'address:port file' -- "$current") ;;
        --max-groups) : ;;
        --max-clients) : ;;
        --log-format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$current") ;;
        --min-rsa-bits) : ;;
        *)
            case $current in
                -* | "") mapfile -t COMPREPLY < <(compgen -W '-s -c -r -d -p -q -t -Q -N -O -I -M -U -H -h -k -K -e -m -C -S -x -L -P -g -n -B --workers --user --chroot --singleproc --control --monitor --max-groups --max-clients --log-format --compat-lists --open-upstream --min-rsa-bits --strong-crypto-only --takeover --check --version --help' -- "$current"; :) ;;
                *) mapfile -t COMPREPLY < <(:) ;;
            esac
            ;;
    esac
}

complete -F _uftpproxyd uftpproxyd
