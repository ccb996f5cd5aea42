#!/usr/bin/env bash
# Makes .venv-peers with what benchmarks/peers_requirements.txt names: bash benchmarks/peers_venv.sh
# PIPELINE_PYTHON names another Python (default: that of .venv, else python3). Arguments go to pip, such as
# --index-url=https://download.pytorch.org/whl/cpu for a PyTorch without CUDA.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PIPELINE_PYTHON-}
[ "$python" ] || { [ -x .venv/bin/python ] && python=.venv/bin/python; } || python=python3
[ -x .venv-peers/bin/python ] || "$python" -m venv --clear .venv-peers
.venv-peers/bin/python -m pip install --quiet --requirement benchmarks/peers_requirements.txt "$@"
.venv-peers/bin/python -c 'import torch; print(f"PyTorch {torch.__version__} in .venv-peers")'
