"""A model of what a step costs on up to 1,024 workers, tested on measured ones: python -m benchmarks.cost.

`hosts` holds the parameters, measured here or cited; `networks` the gradients of two networks; `collectives` what an
all-reduce sends; `step` the time of a step; `job` what is done around the steps. All of them are pure.
`measure` finds this machine's parameters, and `python -m benchmarks.cost --measured=FILE` compares the model with a
file of `benchmarks.scaling --json`.
"""
