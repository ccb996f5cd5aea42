"""Random faults of run directories, data folders and environments, and what commands make of them.

Run as `python -m tests.faults --minutes=M --seed=S`; see `__main__.py`.
"""
