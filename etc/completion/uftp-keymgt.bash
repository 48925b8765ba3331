# shellcheck shell=bash
# bash completion for uftp-keymgt, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/bash-completion/completions/uftp-keymgt.

_uftp_keymgt() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
        -g) mapfile -t COMPREPLY < <(compgen -W 'rsa:2048 rsa:4096 ec:prime256v1 ec:secp384r1 ec:secp521r1' -- "$current") ;;
        *)
            case $current in
                -* | "") mapfile -t COMPREPLY < <(compgen -W '-f -g -h -m -v' -- "$current"; compgen -f -- "$current") ;;
                *) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
            esac
            ;;
    esac
}

complete -F _uftp_keymgt uftp-keymgt
