# fish completion for proxyctl: commands and options, names and sockets of running proxies, ids of their sessions.
# To be installed as /usr/share/fish/vendor_completions.d/proxyctl.fish.

# What the running proxy says, with the words that chose it on the command line; nothing where it cannot be asked.
function __proxyctl_ask
    set -l words (commandline -opc)
    set -l chosen
    for index in (seq 2 (count $words))
        if contains -- $words[$index] -n -s --name --socket
            set chosen $chosen $words[$index] $words[(math $index + 1)]
        end
    end
    timeout 10 $words[1] $chosen $argv 2>/dev/null
end

function __proxyctl_sessions
    __proxyctl_ask sessions | awk 'NR > 1 { print $1 "\t" $2 }'
end

function __proxyctl_rules
    __proxyctl_ask sessions | awk 'NR > 1 { print $4 }' | sort -u
end

function __proxyctl_names
    for path in /run/udp-proxy-*.ctl /run/uftpproxyd-*.ctl
        string replace -r '^.*/(udp-proxy|uftpproxyd)-(.*)\.ctl$' '$2' $path
    end
end

set -l commands status sessions session kill loglevel explain reload upgrade drain doctor capacity users groups tap top
set -l none "not __fish_seen_subcommand_from $commands"

complete -c proxyctl -f
complete -c proxyctl -n $none -s h -l help -d 'Print the usage'
complete -c proxyctl -n $none -s v -l version -d 'Print the version'
complete -c proxyctl -n $none -s n -l name -x -a '(__proxyctl_names)' -d 'The proxy of this name'
complete -c proxyctl -n $none -s s -l socket -r -F -d 'The proxy whose control socket this is'
complete -c proxyctl -n $none -a status -d 'How the proxy is'
complete -c proxyctl -n $none -a sessions -d 'List sessions'
complete -c proxyctl -n $none -a session -d 'All about one session'
complete -c proxyctl -n $none -a kill -d 'End sessions'
complete -c proxyctl -n $none -a loglevel -d 'Show or set the level of the debug log'
complete -c proxyctl -n $none -a explain -d 'What would become of a datagram'
complete -c proxyctl -n $none -a reload -d 'Read the configuration again'
complete -c proxyctl -n $none -a upgrade -d 'Hand over to the program that is installed now'
complete -c proxyctl -n $none -a drain -d 'Begin no session any more, end with the last one'
complete -c proxyctl -n $none -a doctor -d 'Check this machine for a configuration'
complete -c proxyctl -n $none -a capacity -d 'How many sessions can be held, and what limits them'
complete -c proxyctl -n $none -a users -d 'Who sits at which address'
complete -c proxyctl -n $none -a groups -d 'The transfers of a UFTP proxy'
complete -c proxyctl -n $none -a tap -d 'Write the datagrams of a session to a file'
complete -c proxyctl -n $none -a top -d 'A live view'

complete -c proxyctl -n "__fish_seen_subcommand_from $commands" -l json -d 'Print JSON for programs'

set -l filtered '__fish_seen_subcommand_from sessions kill top'
complete -c proxyctl -n $filtered -l client -x -d 'Of these clients'
complete -c proxyctl -n $filtered -l server -x -d 'With these servers'
complete -c proxyctl -n $filtered -l acl -x -a '(__proxyctl_rules)' -d 'By this rule'
complete -c proxyctl -n $filtered -l type -x -a 'one-way normal any-port any-sock broadcast' -d 'Of this type'
complete -c proxyctl -n $filtered -l worker -x -d 'Of this worker'
complete -c proxyctl -n $filtered -l idle -x -d 'Without a datagram for so many seconds'
complete -c proxyctl -n $filtered -l older -x -d 'So many seconds old'

set -l sorted '__fish_seen_subcommand_from sessions'
complete -c proxyctl -n $sorted -l sort -x -a 'acl age bytes client datagrams ends idle server' -d 'By what'
complete -c proxyctl -n $sorted -l limit -x -d 'The first ones only'
complete -c proxyctl -n '__fish_seen_subcommand_from session kill tap' -a '(__proxyctl_sessions)'
complete -c proxyctl -n '__fish_seen_subcommand_from kill' -l all -d 'End all sessions'
complete -c proxyctl -n '__fish_seen_subcommand_from loglevel' -a '3 4 5 6 7 8 9 + -'

set -l explained '__fish_seen_subcommand_from explain'
complete -c proxyctl -n $explained -l group -x -d 'A group of the user'
complete -c proxyctl -n $explained -l tos -x -d 'The type of service'
complete -c proxyctl -n $explained -l transparent -d 'It is sent to somebody else'
complete -c proxyctl -n $explained -l direct -d 'It is sent to the proxy'

complete -c proxyctl -n '__fish_seen_subcommand_from reload' -l dry-run -d 'Change nothing, say what would change'
complete -c proxyctl -n '__fish_seen_subcommand_from drain' -l timeout -x -d 'End after so many seconds'
complete -c proxyctl -n '__fish_seen_subcommand_from drain' -l wait -d 'Return when the proxy has ended'
complete -c proxyctl -n '__fish_seen_subcommand_from doctor capacity' -s f -l file -r -F -d 'The configuration'

set -l listed '__fish_seen_subcommand_from users'
complete -c proxyctl -n $listed -l user -x -d 'Only this one'
complete -c proxyctl -n $listed -l group -x -d 'Only those in this group'
complete -c proxyctl -n $listed -l address -x -d 'Only at these addresses'
complete -c proxyctl -n $listed -l by-group -d 'How many are in each group'
complete -c proxyctl -n "$listed; and not __fish_seen_subcommand_from add remove" -a add -d 'Put somebody at an address'
complete -c proxyctl -n "$listed; and not __fish_seen_subcommand_from add remove" -a remove -d 'Let nobody be at an address'

set -l tapped '__fish_seen_subcommand_from tap'
complete -c proxyctl -n $tapped -s w -l write -r -F -d 'Where to'
complete -c proxyctl -n $tapped -s c -l count -x -d 'Datagrams at most'
complete -c proxyctl -n $tapped -s b -l bytes -x -d 'Bytes of payload at most'
complete -c proxyctl -n $tapped -s t -l time -x -d 'Seconds at most'
complete -c proxyctl -n $tapped -s s -l snap -x -d 'Bytes to keep of each datagram'
complete -c proxyctl -n $tapped -l side -x -a 'client server' -d 'Whose view it is'

set -l live '__fish_seen_subcommand_from top'
complete -c proxyctl -n $live -s i -l interval -x -d 'Seconds between looks'
complete -c proxyctl -n $live -l once -d 'Print it once'
