# fish completion for test-udp, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/fish/vendor_completions.d/test-udp.fish.

complete -c test-udp -f
complete -c test-udp -s h -d 'print this text'
complete -c test-udp -s v -d 'print the version, and the tag for the configuration\'s version item'
complete -c test-udp -s d -d 'debugging level until the configuration is read, 3 (least) to 9 (most)' -x -a '3 4 5 6 7 8 9'
complete -c test-udp -s f -d 'the configuration file' -r -F
complete -c test-udp -s r -d 'resolve the configuration\'s names before testing'
complete -c test-udp -s t -d 'test the configuration with this expression; -t \'help;\' tells more' -x
