#!/usr/bin/env bash
# Sets the project up if need be, then trains: ./launch/train.sh [flags of pipeline.train]
# Without flags it trains the experiment of configs/digits.flags. venv.sh lists the environment variables it heeds.
set -euo pipefail
# shellcheck source=launch/venv.sh
source "$(dirname "${BASH_SOURCE[0]}")/venv.sh"

setup_venv ""
[ $# -gt 0 ] || set -- --flagfile="$project/configs/digits.flags"
exec "$venv/bin/python" -m pipeline.train "$@" # exec: signals reach the trainer itself
