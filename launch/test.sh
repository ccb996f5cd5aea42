#!/usr/bin/env bash
# Sets the project up if need be, then runs every check and the tests: ./launch/test.sh [arguments of pytest]
# Set PIPELINE_TEST_MNIST to a directory with the four MNIST archives to run the tests that need them.
# Ends with the exit code of the first that failed.
set -uo pipefail
# shellcheck source=launch/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

setup_venv test
cd "$project" || exit
export PATH="$venv/bin:$PATH"
first_failure=0
failed=()

check() {
    "$@" && return
    local code=$?
    [ "$first_failure" -ne 0 ] || first_failure=$code
    failed+=("$*")
}

# shellcheck disable=SC2329 # `check` calls it
wait_for_mypy() {
    wait "$mypy"
    local code=$?
    cat "$types"
    return "$code"
}

check ruff check --quiet .
check ruff format --check --quiet .
types=$(mktemp)
trap 'rm -f "$types"' EXIT
python -m mypy >"$types" 2>&1 & # one core for as long as some of the tests take
mypy=$!
check shellcheck --external-sources launch/*.sh benchmarks/*.sh launch/slurm.sbatch .ci/run pipeline/cli/completion.bash
[ "${PIPELINE_TEST_MNIST-}" ] || echo "Tests on real MNIST are skipped: PIPELINE_TEST_MNIST=DIR names its archives" >&2
# Twice as many files at once as there are cores, since many tests wait; tests/conftest.py says which come first.
check python -m pytest --numprocesses=$((2 * $(nproc))) --maxprocesses=8 --dist=loadfile --no-loadscope-reorder \
    --durations=20 -r fEs "$@"
check wait_for_mypy
[ "$first_failure" -eq 0 ] || echo "test.sh: failed: ${failed[*]}" >&2
exit "$first_failure"
