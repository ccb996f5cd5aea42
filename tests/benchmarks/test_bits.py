"""The claim of `python -m tests.bits` in a small form: real digits, the real model, a few steps in one process."""

from small_run import trainer

from pipeline.engine import state

STEPS = 3


def test_the_convolutional_model_has_the_same_bits_on_every_number_of_towers_and_wherever_its_variables_lie(
    mnist_directory,
):
    def parameters_sha256(towers: int, variables: str) -> str:
        run = trainer(
            towers,
            source=f"idx:{mnist_directory}",
            model="convolutional",
            global_batch=256,
            grad_shards=8,
            learning_rate=1e-4,
            variables=variables,
        )
        assert run.advance(0, STEPS).next_step == STEPS
        return state.parameters_sha256(run.towers.check_equal(STEPS))

    combinations = [(1, "replicated"), (2, "first"), (4, "cpu"), (8, "replicated")]
    found = {combination: parameters_sha256(*combination) for combination in combinations}
    assert len(found) == 4 and len(set(found.values())) == 1, found
