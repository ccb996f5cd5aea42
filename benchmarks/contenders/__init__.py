"""One module for each contender, with `train(task, pause)`.

It trains for ever, and calls `pause()` after every `task.round_steps` steps, once all their computation is done.
"""
