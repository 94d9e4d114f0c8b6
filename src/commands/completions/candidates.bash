
# Topics, workflow files and phases, as the service knows them.
_flowlord_or_candidates() {
    local line="${COMP_LINE:0:COMP_POINT}"
    local cur="${line##* }" kind=()
    # Bash takes `load:hourly` for three words; here it is one.
    local words
    read -ra words <<< "$line"
    [[ -z "$cur" ]] && words+=("")
    local last=$((${#words[@]} - 1))
    case "${words[1]} ${words[last - 1]}" in
        "tasks --type" | "rerun --type" | "cancel --type" | "alerts --type" | "ack --type" | "silence --type" | "work --topic") kind=(topics) ;;
        "alerts --workflow" | "ack --workflow" | "silence --workflow" | "backload --workflow") kind=(workflows) ;;
    esac
    case "${words[1]} $last" in
        "pause 2" | "resume 2" | "run 2") kind=(workflows) ;;
        "pause 3" | "resume 3" | "run 3") kind=(phases --of "${words[2]}") ;;
    esac
    if [[ ${#kind[@]} -eq 0 || "$cur" == -* ]]; then
        _flowlord "$@"
        return
    fi
    COMPREPLY=($(compgen -W "$(flowlord completions --candidates "${kind[@]}" 2> /dev/null)" -- "$cur"))
    # What stands before a colon is on the line already.
    [[ "$COMP_WORDBREAKS" == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
}
complete -F _flowlord_or_candidates -o bashdefault -o default flowlord
