"""One module for each contender or family of them, with functions `(task, pause)`, of which `train` is the usual one.

It trains for ever, and calls `pause(loss, number of parameters)` after every `task.round_steps` steps, once all their
computation is done (`turns.Pause`); contenders that train nothing call `pause()`.
"""
