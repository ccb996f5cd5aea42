#!/usr/bin/env bash
# Trains with several workers on this machine: ./launch/local.sh --workers=2 [flags of pipeline.train]
# --dry_run prints what would run, --preflight checks it. The workers have a network of their own where this machine
# allows it (--private_network). Without flags it trains configs/digits.flags.
set -euo pipefail
launch=$(dirname "${BASH_SOURCE[0]}")
[ $# -gt 0 ] || set -- --flagfile="$launch/../configs/digits.flags"
exec "$launch/supervise.sh" --workers=2 "$@" # of flags that are given twice the last one counts
