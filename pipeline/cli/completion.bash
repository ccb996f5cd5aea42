# shellcheck shell=bash
# What stands before this, made by completion.py: _pipeline_flags, _pipeline_values, _pipeline_entry_points.
# shellcheck disable=SC2154

# Fills COMPREPLY for a command of pipeline; of any other it leaves it empty.
_pipeline() {
    local line=${COMP_LINE:0:COMP_POINT} entry='' module='-m[[:space:]]+pipeline\.([a-z]+)[[:space:]]'
    case ${1##*/} in
    pipeline-*) entry=${1##*pipeline-} ;;
    train.sh) entry=train ;;
    *) if [[ $line =~ $module ]]; then entry=${BASH_REMATCH[1]}; fi ;;
    esac
    local word=${line##*[[:space:]]} before
    before=${line%"$word"}
    before=${before%"${before##*[![:space:]]}"}
    COMPREPLY=()
    if [ "$entry" ]; then
        _pipeline_word "$entry" "$word" "${before##*[[:space:]]}"
    elif [[ $line =~ -m[[:space:]]+[a-z.]*$ ]]; then
        _pipeline_offer "$word" "pipeline.${_pipeline_entry_points// / pipeline.}"
    fi
    # Bash replaces only what follows the last = or :, where those break words.
    local kept=$word
    [[ $COMP_WORDBREAKS != *:* ]] || kept=${kept##*:}
    [[ $COMP_WORDBREAKS != *=* ]] || kept=${kept##*=}
    COMPREPLY=("${COMPREPLY[@]#"${word%"$kept"}"}")
}

# ENTRY_POINT WORD BEFORE: completes a word of the command line; BEFORE is the one before it.
_pipeline_word() {
    local name
    case $2 in
    --*=*)
        name=${2#--}
        _pipeline_value "$1:${name%%=*}" "${2#*=}" "${2%%=*}="
        ;;
    -*) _pipeline_offer "$2" "$(_pipeline_flags "$1")" ;;
    *)
        if [[ " $(_pipeline_flags "$1") " == *" $3= "* ]]; then
            _pipeline_value "$1:${3#--}" "$2" ''
        elif [ "$1" = completion ]; then
            _pipeline_offer "$2" 'bash zsh'
        else
            _pipeline_paths -f "$2" ''
        fi
        ;;
    esac
}

# ENTRY_POINT:FLAG VALUE BEFORE: completes the value of a flag; BEFORE is what stands before it in its word.
_pipeline_value() {
    local word values offered=()
    values=$(_pipeline_values "$1")
    case $values in
    files) _pipeline_paths -f "$2" "$3" ;;
    directories) _pipeline_paths -d "$2" "$3" ;;
    *)
        if [[ $2 == *:* ]]; then
            _pipeline_value "$1:${2%%:*}" "${2#*:}" "$3${2%%:*}:"
        else
            for word in $values; do offered+=("$3$word"); done
            _pipeline_offer "$3$2" "${offered[*]}"
        fi
        ;;
    esac
}

# WORD OFFERED: those of the offered words that begin like it; no space follows one that goes on.
_pipeline_offer() {
    local word
    while IFS= read -r word; do
        COMPREPLY+=("$word")
        case $word in *[=:]) compopt -o nospace 2>/dev/null ;; esac
    done < <(compgen -W "$2" -- "$1")
}

# -f|-d PATH BEFORE
_pipeline_paths() {
    local path
    compopt -o filenames 2>/dev/null
    while IFS= read -r path; do COMPREPLY+=("$3$path"); done < <(compgen "$1" -- "$2")
}

# shellcheck disable=SC2086 # words, each a name
complete -F _pipeline pipeline-${_pipeline_entry_points// / pipeline-} train.sh
for _pipeline_python in python python3; do # a completion that is there already stays
    complete -p "$_pipeline_python" &>/dev/null || complete -o default -F _pipeline "$_pipeline_python"
done
unset _pipeline_python
