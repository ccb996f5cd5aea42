#!/usr/bin/env bash
# What every launcher ends in: sets the project up if need be, then keeps the workers of this host at work.
# ./launch/supervise.sh [flags of pipeline.supervise and pipeline.train]
set -euo pipefail
# shellcheck source=launch/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

setup_venv ""
exec "$venv/bin/python" -m pipeline.supervise "$@" # exec: signals reach the supervisor itself
