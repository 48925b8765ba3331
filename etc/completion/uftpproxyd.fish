# fish completion for uftpproxyd, made by python -m proxyd.cli.completion: change that, not this file.
# To be installed as /usr/share/fish/vendor_completions.d/uftpproxyd.fish.

complete -c uftpproxyd -f
complete -c uftpproxyd -s s -d 'server proxy to this host, or to whom a heartbeat proves' -x
complete -c uftpproxyd -s c -d 'client proxy'
complete -c uftpproxyd -s r -d 'response proxy'
complete -c uftpproxyd -s d -d 'stay in the foreground, log to standard error'
complete -c uftpproxyd -s p -d 'listen on this port (1044)' -x
complete -c uftpproxyd -s q -d 'port of the downstream proxy, or of the clients (1044)' -x
complete -c uftpproxyd -s t -d 'time to live of multicast datagrams (1)' -x
complete -c uftpproxyd -s Q -d 'DSCP of all datagrams (0)' -x
complete -c uftpproxyd -s N -d 'nice increment (0)' -x
complete -c uftpproxyd -s O -d 'interface to multicast from' -x -a '(ls /sys/class/net)'
complete -c uftpproxyd -s I -d 'interfaces to listen on (all that are up)' -x -a '(ls /sys/class/net)'
complete -c uftpproxyd -s M -d 'public multicast addresses (230.4.4.1)' -x
complete -c uftpproxyd -s U -d 'this proxy\'s ID (from its first address)' -x
complete -c uftpproxyd -s H -d 'send heartbeats to these' -x
complete -c uftpproxyd -s h -d 'time between heartbeats (20)' -x
complete -c uftpproxyd -s k -d 'files of private keys' -r -F
complete -c uftpproxyd -s K -d 'keys to make' -x
complete -c uftpproxyd -s e -d 'ECDH curve of a response proxy' -x
complete -c uftpproxyd -s m -d 'no effect'
complete -c uftpproxyd -s C -d 'clients to let in' -r -F
complete -c uftpproxyd -s S -d 'servers to let in, or to join for' -r -F
complete -c uftpproxyd -s x -d 'log level, 0 to 5 (2)' -x
complete -c uftpproxyd -s L -d 'log file (/tmp/uftpproxyd.log)' -r -F
complete -c uftpproxyd -s P -d 'file to write the process id to' -r -F
complete -c uftpproxyd -s g -d 'roll the log file at this size' -x
complete -c uftpproxyd -s n -d 'rolled log files to keep (5)' -x
complete -c uftpproxyd -s B -d 'socket buffers (1048576)' -x
complete -c uftpproxyd -l workers -d 'worker processes (one a processor)' -x
complete -c uftpproxyd -l user -d 'whom the workers become (nobody)' -x
complete -c uftpproxyd -l chroot -d 'the workers\' root' -x -a '(__fish_complete_directories)'
complete -c uftpproxyd -l singleproc -d 'one process that does everything'
complete -c uftpproxyd -l control -d 'socket to take orders on (proxyctl)' -r -F
complete -c uftpproxyd -l monitor -d 'serve a page and metrics over HTTP (no)' -x -a 'address:port file'
complete -c uftpproxyd -l max-groups -d 'transfers at once (10000)' -x
complete -c uftpproxyd -l max-clients -d 'clients of one transfer (10000)' -x
complete -c uftpproxyd -l log-format -d 'form of the log' -x -a 'text json'
complete -c uftpproxyd -l compat-lists -d 'read -S and -C as uftpproxyd 4.10.2 does'
complete -c uftpproxyd -l open-upstream -d 'server proxy: pass on to servers what anybody sends'
complete -c uftpproxyd -l min-rsa-bits -d 'refuse shorter RSA keys (0)' -x
complete -c uftpproxyd -l strong-crypto-only -d 'refuse DES, 3DES, SHA-1 and RSA under 2048 bits'
complete -c uftpproxyd -l takeover -d 'go on with the transfers of the proxy at --control, which ends'
complete -c uftpproxyd -l check -d 'check options, lists and keys, and open nothing'
complete -c uftpproxyd -l version -d 'print the version'
complete -c uftpproxyd -l help -d 'print this text'
