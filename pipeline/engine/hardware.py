"""The conditions for equal bits besides flags, data and versions: the processor, its instructions, the GPUs.

They are read without TensorFlow, so that a supervisor can compare them too.
"""

import ctypes
import hashlib
import importlib.metadata
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.process import environment

# The instruction sets for which oneDNN has separate kernels, the least first, by their names in ONEDNN_MAX_CPU_ISA,
# and the flags in /proc/cpuinfo that each adds. Another set means other blocks, and so another order of sums.
_X86 = {
    "SSE41": {"sse4_1"},
    "AVX": {"avx"},
    "AVX2": {"avx2", "fma"},
    "AVX2_VNNI": {"avx_vnni"},
    "AVX512_CORE": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "AVX512_CORE_VNNI": {"avx512_vnni"},
    "AVX512_CORE_BF16": {"avx512_bf16"},
    "AVX512_CORE_FP16": {"avx512_fp16"},
    "AVX512_CORE_AMX": {"amx_tile", "amx_int8", "amx_bf16"},
    "AVX512_CORE_AMX_FP16": {"amx_fp16"},
}
_SAME = {"AVX10_1_512": "AVX512_CORE_FP16", "AVX10_1_512_AMX": "AVX512_CORE_AMX"}
_SAME["AVX10_1_512_AMX_FP16"] = "AVX512_CORE_AMX_FP16"
_ARM = {"asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2", "svebf16", "svei8mm"}
_OPTIONAL = {"AVX2_VNNI"}  # a processor may have the later sets without this one

# Variables of libraries that may change numbers. Exceptions: those that match _HARMLESS, and values in _DEFAULTS.
_FAMILIES = re.compile(r"(ONEDNN|DNNL|TF_ONEDNN|TF_CUDNN|CUDNN|CUBLAS)_\w+")
_VARIABLES = {
    "TF_ENABLE_ONEDNN_OPTS",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
    "TF_XLA_FLAGS",
    "TF_DETERMINISTIC_OPS",
    "TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT",
}
_HARMLESS = re.compile(r"\w*(VERBOSE|DUMP|PROFILE|LOG|CACHE_CAPACITY|MAX_CPU_ISA|SYSTEM_ALLOCATOR)\w*")
_DEFAULTS = {"TF_ENABLE_ONEDNN_OPTS": {"1", "true"}, "CUBLAS_WORKSPACE_CONFIG": {"", ":4096:8"}}
_DEFAULTS["TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT"] = {"1", "true"}
_DEFAULTS["TF_DETERMINISTIC_OPS"] = {"", "0", "false"}
_CUDA_PACKAGES = re.compile(r"nvidia[-_](cublas|cudnn|cuda[-_]nvcc|cuda[-_]runtime|nccl)([-_]cu\d+)?")
_LONGEST = 300  # characters of all variables; of more, a hash stands for the rest


def conditions(cpuinfo: Path = Path("/proc/cpuinfo"), nvidia: Path = Path("/proc/driver/nvidia")) -> dict[str, str]:
    """The conditions that must be equal for equal bits, by name. The names are fixed; an unknown value is ''.

    machine: the architecture. processor: maker, family and model. instructions: the largest set that oneDNN will use.
    gpus: the models of the GPUs that this process may use. cuda: their driver, and CUDA's libraries where they are
    Python packages. variables: the environment variables that change numbers, as NAME=VALUE.
    """
    processor = _first_processor(cpuinfo)
    variables = environment.variables()
    uses_gpus = bool(environment.visible_gpus())
    return {
        "machine": platform.machine(),
        "processor": _processor(processor),
        "instructions": _instructions(processor, variables),
        "gpus": _gpus(nvidia / "gpus") if uses_gpus else "",
        "cuda": _cuda(nvidia / "version") if uses_gpus else "",
        "variables": _changing(variables),
    }


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The conditions that differ, as 'NAME: BEFORE -> NOW'. Those that were not recorded before do not count."""
    return [
        f"{name}: {before[name] or 'none'} -> {value or 'none'}"
        for name, value in now.items()
        if before.get(name, value) != value
    ]


def gpu_uuid(index: int) -> str:
    """The identity of a GPU that this process sees, among those of all machines; '' if the driver does not tell.

    index: its number among the visible ones, as in cuDeviceGet of CUDA's driver API.
    """
    uuid, device = ctypes.create_string_buffer(16), ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        calls = ((driver.cuInit, 0), (driver.cuDeviceGet, ctypes.byref(device), index))
        failed = any(function(*arguments) for function, *arguments in calls)
        return "" if failed or driver.cuDeviceGetUuid(uuid, device) else uuid.raw.hex()
    except (OSError, AttributeError):
        return ""


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    """The fields of the first processor in cpuinfo, see proc(5)."""
    try:
        text = cpuinfo.read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _processor(fields: Mapping[str, str]) -> str:
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part", "CPU variant")
    return " ".join(fields[name] for name in names if name in fields)


def _instructions(fields: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """The largest set of instructions that the processor has and ONEDNN_MAX_CPU_ISA allows."""
    if "Features" in fields:
        return " ".join(sorted(_ARM & set(fields["Features"].split())))
    flags, largest = set(fields.get("flags", "").split()), ""
    asked = variables.get("ONEDNN_MAX_CPU_ISA") or variables.get("DNNL_MAX_CPU_ISA") or ""
    most = _SAME.get(asked.upper(), asked.upper())
    for name, needed in _X86.items():
        if needed <= flags:
            largest = name
        elif name not in _OPTIONAL:
            break
        if name == most:
            break
    return largest


def _gpus(directory: Path) -> str:
    """The models of this machine's GPUs, each once."""
    texts = [path.read_text() for path in sorted(directory.glob("*/information"))]
    models = {match[1].strip() for text in texts if (match := re.search(r"^Model:(.*)$", text, re.MULTILINE))}
    return ", ".join(sorted(models))


def _cuda(version: Path) -> str:
    """The driver, as in NVRM's line of its version file, and the packages whose kernels decide bits."""
    try:
        drivers = re.findall(r"^NVRM version:.*?\s(\d+\.[\d.]+)\s", version.read_text(), re.MULTILINE)
    except OSError:
        drivers = []
    found = {str(one.metadata["Name"]): one.version for one in importlib.metadata.distributions()}
    packages = [f"{name} {found[name]}" for name in sorted(found) if _CUDA_PACKAGES.fullmatch(name)]
    return ", ".join([*(f"driver {driver}" for driver in drivers), *packages])


def _changing(variables: Mapping[str, str]) -> str:
    """The variables that change numbers and are set to another value than their default."""
    names = [name for name in sorted(variables) if name in _VARIABLES or _FAMILIES.fullmatch(name)]
    changing = [
        f"{name}={variables[name]}"
        for name in names
        if not _HARMLESS.fullmatch(name) and variables[name].lower() not in _DEFAULTS.get(name, {""})
    ]
    text = " ".join(changing)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... {hashlib.sha256(text.encode()).hexdigest()[:8]}"
