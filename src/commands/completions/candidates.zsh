# Topics, workflow files and phases, as the service knows them.
_flowlord_topics() {
    compadd -- ${(f)"$(flowlord completions --candidates topics 2> /dev/null)"}
}
_flowlord_workflows() {
    compadd -- ${(f)"$(flowlord completions --candidates workflows 2> /dev/null)"}
}
_flowlord_phases() {
    compadd -- ${(f)"$(flowlord completions --candidates phases --of "${(Q)words[CURRENT - 1]}" 2> /dev/null)"}
}
