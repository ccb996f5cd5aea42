# Completes a command of pipeline.
_pipeline() {
    local entry=${words[1]:t}
    case $entry in
    pipeline-*) entry=${entry#pipeline-} ;;
    train.sh) entry=train ;;
    *) entry=${${words[(r)pipeline.*]}#pipeline.} ;;
    esac
    local -a known=($(_pipeline_flags $entry))
    case $PREFIX in
    --*=*)
        local name=${${PREFIX#--}%%\=*}
        compset -P 1 '*='
        _pipeline_value $entry:$name
        ;;
    -*)
        compadd -S '' -- ${(M)known:#*=}
        compadd -- ${known:#*=}
        ;;
    *)
        local before=${words[CURRENT - 1]}
        if (( ${known[(Ie)$before=]} )); then
            _pipeline_value $entry:${before#--}
        elif [[ $entry = completion ]]; then
            compadd bash zsh
        else
            _files
        fi
        ;;
    esac
}

# ENTRY_POINT:FLAG: completes the value of a flag.
_pipeline_value() {
    local -a known=($(_pipeline_values $1))
    case $known in
    files) _files ;;
    directories) _path_files -/ ;;
    *)
        local kind=${PREFIX%%:*}
        if compset -P 1 '*:'; then
            _pipeline_value $1:$kind
        else
            compadd -S '' -- ${(M)known:#*[=:]}
            compadd -- ${known:#*[=:]}
        fi
        ;;
    esac
}

# Completes `python -m pipeline.NAME`, and leaves every other command of python to zsh.
_pipeline_python() {
    if [[ -n ${words[(r)pipeline.*]} && ${words[CURRENT]} != pipeline.* ]]; then
        _pipeline
    elif [[ ${words[CURRENT - 1]} = -m && $PREFIX = pipe* ]]; then
        compadd pipeline.${^=_pipeline_entry_points}
    else
        _python "$@"
    fi
}

compdef _pipeline pipeline-${^=_pipeline_entry_points} train.sh
compdef _pipeline_python python python3
