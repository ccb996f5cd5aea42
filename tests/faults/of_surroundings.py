"""Faults of what is around a command: variables, streams, limits, the directory that it starts in."""

from tests.faults.world import Try

VARIABLES: tuple[dict[str, str | None], ...] = (
    {"HOME": None},
    {"HOME": "/proc/nowhere"},
    {"HOME": "/dev/null"},
    {"HOME": ""},
    {"HOME": "keras"},  # a directory that is made, with a keras.json of another layout
    {"KERAS_BACKEND": "torch"},
    {"KERAS_BACKEND": "nonsense"},
    {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"},
    {"LANG": "C", "LC_ALL": None},
    {"LANG": None, "LC_ALL": None},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "tr_TR.UTF-8"},
    {"TMPDIR": "/proc/nowhere"},
    {"TMPDIR": "/dev/null"},
    {"TZ": "Pacific/Kiritimati"},
    {"TZ": "nonsense"},
    {"PYTHONHASHSEED": "12345"},
    {"PYTHONHASHSEED": "random", "PYTHONDONTWRITEBYTECODE": "1"},
    {"PYTHONOPTIMIZE": "2"},
    {"PYTHONUNBUFFERED": "1"},
    {"PYTHONWARNINGS": "error"},
    {"PYTHONDEVMODE": "1"},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "5"},
    {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"},
    {"TF_CPP_MIN_LOG_LEVEL": "x"},
    {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"TF_USE_LEGACY_KERAS": "1"},
    {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "CUDA_VISIBLE_DEVICES": "0"},
    {"TF_CONFIG": ""},
    {"TF_CONFIG": "{"},
    {"TF_CONFIG": "[" * 50_000},
    {"TF_CONFIG": '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": "x"}}'},
    {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "x"},
    {"PIPELINE_PULSE_FD": "77"},
    {"COLUMNS": "x", "TERM": "nonsense"},
    {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    {"MPLBACKEND": "x", "PYTHONSTARTUP": "/proc/nowhere"},
    {"PATH": ""},
    {"PATH": None},
    {"USER": None, "LOGNAME": None, "USERNAME": None},
)
STREAMS = (
    *(("stdout", fate) for fate in ("closed", "full", "gone")),
    *(("stderr", fate) for fate in ("closed", "full", "gone")),
    ("stdin", "closed"),
)
CONDITIONS = (
    {"umask": 0},
    {"umask": 0o077},
    {"umask": 0o277},
    {"nice": 19},
    {"cwd": "unreadable", "mind_permissions": True},
    {"cwd": "deleted"},
    {"limits": {"RLIMIT_NOFILE": 40}},
    {"limits": {"RLIMIT_NOFILE": 70}},
    {"limits": {"RLIMIT_CORE": 0}},
    {"limits": {"RLIMIT_STACK": 1 << 20}},
)


def variable(tried: Try) -> str:
    chosen = tried.draws.choice(VARIABLES)
    if chosen.keys() & tried.environment.keys():
        return ""
    tried.environment |= chosen
    tried.fresh = True
    tried.other_bits |= "TF_XLA_FLAGS" in chosen or "ONEDNN_MAX_CPU_ISA" in chosen
    if chosen.get("HOME") == "keras":
        (tried.root / "keras" / ".keras").mkdir(parents=True)
        settings = '{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "jax"}'
        (tried.root / "keras" / ".keras" / "keras.json").write_text(settings)
        tried.environment["HOME"] = str(tried.root / "keras")
    return "environment: " + " ".join(f"{name}={value}"[:60] for name, value in chosen.items())


def stream(tried: Try) -> str:
    chosen = tried.draws.choice(STREAMS)
    if chosen[0] in tried.streams:
        return ""
    tried.streams |= [chosen]
    return f"{chosen[0]} is {chosen[1]}"


def condition(tried: Try) -> str:
    chosen = tried.draws.choice(CONDITIONS)
    if chosen.keys() & tried.conditions.keys():
        return ""
    if "cwd" in chosen:  # the command must find all by whole paths, which a source of a folder does not have
        if tried.source == "folder" or not tried.run.is_dir() or tried.command == "predict":
            return ""
        tried.run_dir = str(tried.run)
    tried.conditions |= chosen
    return f"under {chosen}"


FAULTS = [variable, variable, variable, stream, condition]
