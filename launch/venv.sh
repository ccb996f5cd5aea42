# Read by the other launch scripts: `setup_venv EXTRAS` makes .venv beside the project and installs the project there,
# in editable form. With everything in place it takes no time; it may be cut off at any moment, and two may run at once.
# Sets `project` and `venv`.
#
# PIPELINE_PYTHON   the Python to make it with (default: python3, else python3.13 … python3.10)
# PIPELINE_EXTRAS   further extras of setup.cfg (default: gpu on a machine with an NVIDIA driver, else none)
#
# A wheel brings these scripts too, in share/tower-pipeline of the environment that it is installed into. There is
# nothing to set up there, and `venv` is that environment; PIPELINE_PYTHON names its Python where it lies elsewhere.
# shellcheck shell=bash

readonly EX_USAGE=64 EX_UNAVAILABLE=69 # as in sysexits.h
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -f "$project/setup.cfg" ]; then
    venv="$project/.venv"
else
    venv=$(cd "$project/../.." && pwd)
    [ -z "${PIPELINE_PYTHON-}" ] || venv=$("$PIPELINE_PYTHON" -c 'import sys; print(sys.prefix)')
fi
readonly project venv
readonly installed="$venv/installed"   # a checksum of what was installed from, and the extras
readonly unfinished="$venv/unfinished" # there while a set-up is at work: left over, it tells of one that was cut off

setup_venv() {
    local extras
    [ -f "$project/setup.cfg" ] || { has_package || exit; return; }
    extras="$1 ${PIPELINE_EXTRAS-$(extras_of_this_machine)}"
    is_installed "$extras" && return
    exec 9>"$project/.venv.lock"
    if command -v flock >/dev/null && ! flock --nonblock 9; then
        echo "Waiting for another start to finish setting .venv up" >&2
        flock 9
    fi
    is_installed "$extras" || install "$extras" || exit
    exec 9>&-
}

has_package() {
    "$venv/bin/python" -c 'import pipeline' 2>/dev/null && return
    echo "usage: $venv/bin/python has no package tower-pipeline; name the Python that it was installed for as" \
        "PIPELINE_PYTHON=/path/to/bin/python" >&2
    return "$EX_USAGE"
}

extras_of_this_machine() {
    # The driver's device node: there in containers too, and quicker to ask than nvidia-smi.
    if [ -e /dev/nvidiactl ]; then echo gpu; fi
}

is_installed() {
    local sum extras extra
    is_sound && read -r sum extras 2>/dev/null <"$installed" && [ "$sum" = "$(checksum)" ] || return
    for extra in $1; do
        [[ " $extras " = *" $extra "* ]] || return
    done
}

is_sound() {
    local version='import sys; print(sys.version_info[:3])'
    [ -x "$venv/bin/python" ] && [ ! -e "$unfinished" ] || return
    [ -z "${PIPELINE_PYTHON-}" ] ||
        [ "$("$PIPELINE_PYTHON" -c "$version" 2>/dev/null)" = "$("$venv/bin/python" -c "$version")" ]
}

checksum() {
    # pyvenv.cfg tells the Python's version, and an editable install points to the project's path.
    (cat "$project"/{setup.cfg,setup.py,pyproject.toml} "$venv/pyvenv.cfg" && echo "$project") | cksum | tr ' ' -
}

install() {
    local extras log="$project/.venv.log"
    is_sound && "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv || return
    # Extras that were asked for earlier stay.
    extras=$(tr ' ' '\n' <<<"$1 $(cut -s -d ' ' -f 2- "$installed" 2>/dev/null)" | sort -u | xargs)
    touch "$unfinished"
    echo "Installing the project into .venv: once, a minute or more" >&2
    if ! pip_install "${extras// /,}" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "unavailable: pip could not install the project ($log); mend what it says above, then start again" >&2
        return "$EX_UNAVAILABLE"
    fi
    echo "$(checksum) $extras" >"$installed"
    rm -f "$unfinished" "$log"
}

pip_install() {
    # A new pip first: an old one can spend half an hour on finding versions that go together.
    "$venv/bin/python" -m pip install --upgrade pip &&
        "$venv/bin/python" -m pip install --no-compile --editable "$project${1:+[$1]}" &&
        compile_packages
}

# What pip would do on one core. Templates of some packages are no Python, and stay as they are.
compile_packages() {
    "$venv/bin/python" -m compileall -qq -j 0 -x "/tests/" "$venv/lib" || true
}

make_venv() {
    local python
    python=$(find_python) || return
    echo "Making .venv with $("$python" --version)" >&2
    rm -rf "$venv"
    mkdir "$venv" && touch "$unfinished" && "$python" -m venv "$venv"
}

# Prints the first Python that can do it. Each is asked, since a name on PATH can be a shim with no Python behind it.
find_python() {
    local python incomplete='' names=(python3 python3.13 python3.12 python3.11 python3.10)
    [ -z "${PIPELINE_PYTHON-}" ] || names=("$PIPELINE_PYTHON")
    for python in "${names[@]}"; do
        "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || continue
        if "$python" -c 'import ensurepip, ssl, venv' 2>/dev/null; then
            echo "$python"
            return
        fi
        incomplete=${incomplete:-$python}
    done
    if [ "$incomplete" ]; then
        echo "usage: $incomplete lacks venv, ensurepip or ssl; install them (Debian, Ubuntu: apt install" \
            "python3-venv), or name another Python as PIPELINE_PYTHON=/path/to/python3" >&2
    else
        echo "usage: no Python 3.10 to 3.13 among ${names[*]}; install one, or name it as" \
            "PIPELINE_PYTHON=/path/to/python3" >&2
    fi
    return "$EX_USAGE"
}
