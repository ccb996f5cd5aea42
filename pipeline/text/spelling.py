"""The known name that someone may have meant by one that does not exist."""

import difflib
from collections.abc import Collection

# Names that other programs have for our flags.
SYNONYMS = {
    **dict.fromkeys(("lr", "rate", "alpha"), "learning_rate"),
    **dict.fromkeys(("batch", "batch_size", "bs", "train_batch_size"), "global_batch"),
    **dict.fromkeys(("epochs", "num_epochs", "epoch", "max_steps", "num_steps", "iterations", "max_iter"), "steps"),
    **dict.fromkeys(("gpus", "num_gpus", "ngpus", "n_gpus", "replicas"), "towers"),
    **dict.fromkeys(("data", "dataset", "input"), "source"),
    **dict.fromkeys(("logdir", "log_dir", "output_dir", "model_dir", "train_dir", "out", "run", "ckpt_dir"), "run_dir"),
    **dict.fromkeys(("network", "net", "arch", "architecture"), "model"),
    **dict.fromkeys(("opt", "solver"), "optimizer"),
    **dict.fromkeys(("random_seed", "rng"), "seed"),
    **dict.fromkeys(("dtype", "fp16", "amp", "mixed_precision"), "precision"),
    **dict.fromkeys(("wd", "l2"), "weight_decay"),
    **dict.fromkeys(("warmup",), "warmup_steps"),
    **dict.fromkeys(("ckpt", "step"), "checkpoint"),
    **dict.fromkeys(("resize",), "image_size"),
    **dict.fromkeys(("augmentation", "transform"), "augment"),
    **dict.fromkeys(("clip", "grad_clip", "max_grad_norm"), "clip_norm"),
    **dict.fromkeys(("val_split", "validation_split"), "validation_fraction"),
}


def did_you_mean(value: str, known: Collection[str], prefix: str = "") -> str:
    """'did you mean PREFIXname? ' with the nearest of the known names, or '' if none is near.

    Capitals and dashes do not matter. The names that other programs have for a flag are near to it.
    """
    plain = {name.lower(): name for name in known}
    asked = value.strip().lower().replace("-", "_")
    near = [asked] if asked in plain else [SYNONYMS[asked]] if SYNONYMS.get(asked) in plain else []
    near = near or difflib.get_close_matches(asked, plain, n=1) or difflib.get_close_matches(value, known, n=1)
    return f"did you mean {prefix}{plain.get(near[0], near[0])}? " if near else ""


def nearest(value: str, known: Collection[str]) -> str:
    """The end of an error line about an unknown name: the nearest known one, and all that are known."""
    return f"; {did_you_mean(value, known)}known: {', '.join(known)}"
