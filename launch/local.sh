#!/usr/bin/env bash
# Trains with several workers on this machine: ./launch/local.sh --workers=2 [flags of pipeline.train]
# --dry_run prints what would run, --preflight checks it. Without flags it trains configs/digits.flags with 2 workers.
set -euo pipefail
launch=$(dirname "${BASH_SOURCE[0]}")
[ $# -gt 0 ] || set -- --flagfile="$launch/../configs/digits.flags"
exec "$launch/supervise.sh" --workers=2 "$@" # of flags that are given twice the last one counts
