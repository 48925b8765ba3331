# fish completion for uftp-keymgt, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/fish/vendor_completions.d/uftp-keymgt.fish.

complete -c uftp-keymgt -s f -d 'print the fingerprints only'
complete -c uftp-keymgt -s g -d 'make a key of this kind and write it to the file, which must not exist' -x -a 'rsa:2048 rsa:4096 ec:prime256v1 ec:secp384r1 ec:secp521r1'
complete -c uftp-keymgt -s h -d 'print this text'
complete -c uftp-keymgt -s m -d 'nothing: taken for the sake of uftp_keymgt'
complete -c uftp-keymgt -s v -d 'print the version'
