# fish completion for udp-proxy, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/fish/vendor_completions.d/udp-proxy.fish.

complete -c udp-proxy -f
complete -c udp-proxy -s h -d 'print this text'
complete -c udp-proxy -s v -d 'print the version, and the tag for the configuration\'s version item'
complete -c udp-proxy -s d -d 'debugging level until the configuration is read, 3 (least) to 9 (most)' -x -a '3 4 5 6 7 8 9'
complete -c udp-proxy -s f -d 'the configuration file' -r -F
complete -c udp-proxy -s P -d 'write the process id to this file, not to /run/udp-proxy-NAME.pid' -r -F
complete -c udp-proxy -l check -d 'check the configuration, and open nothing'
complete -c udp-proxy -l foreground -d 'stay in the foreground, as `nodaemon` does'
complete -c udp-proxy -l takeover -d 'go on with the sessions of the proxy that runs with this configuration, which ends'
