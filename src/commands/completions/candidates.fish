
# Topics, workflow files and phases, as the service knows them.
complete -c flowlord -n "__fish_seen_subcommand_from tasks rerun cancel alerts ack silence" -l type -x -a "(flowlord completions --candidates topics 2> /dev/null)"
complete -c flowlord -n "__fish_seen_subcommand_from work" -l topic -x -a "(flowlord completions --candidates topics 2> /dev/null)"
complete -c flowlord -n "__fish_seen_subcommand_from alerts ack silence backload" -l workflow -x -a "(flowlord completions --candidates workflows 2> /dev/null)"
complete -c flowlord -n "__fish_seen_subcommand_from pause resume run; and test (count (commandline -opc)) -eq 2" -x -a "(flowlord completions --candidates workflows 2> /dev/null)"
complete -c flowlord -n "__fish_seen_subcommand_from pause resume run; and test (count (commandline -opc)) -eq 3" -x -a "(flowlord completions --candidates phases --of (commandline -opc)[3] 2> /dev/null)"
