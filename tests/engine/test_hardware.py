import pytest

from pipeline.engine.hardware import changes, conditions

AVX2 = "fpu sse2 sse4_1 avx fma avx2"
SKYLAKE = f"{AVX2} avx512f avx512bw avx512dq avx512vl"
SAPPHIRE = f"{SKYLAKE} avx_vnni avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The conditions on a processor with some flags, with these variables alone."""

    def conditions_of(flags: str, name: str = "flags", **variables: str) -> dict[str, str]:
        lines = ["processor\t: 0", "vendor_id\t: GenuineIntel", "cpu family\t: 6", "model\t\t: 143", "stepping\t: 8"]
        (tmp_path / "cpuinfo").write_text("\n".join([*lines, f"{name}\t\t: {flags}", "", "processor\t: 1", ""]))
        monkeypatch.setattr("os.environ", variables)
        return conditions(tmp_path / "cpuinfo", tmp_path / "gpus")

    return conditions_of


@pytest.mark.parametrize(
    "flags, instructions",
    [
        ("", ""),
        ("sse4_1", "SSE41"),
        ("sse4_1 avx", "AVX"),
        (AVX2, "AVX2"),
        (f"{AVX2} avx_vnni", "AVX2_VNNI"),
        (SKYLAKE, "AVX512_CORE"),
        (f"{SKYLAKE} avx512_vnni", "AVX512_CORE_VNNI"),
        (f"{SKYLAKE} avx512_bf16", "AVX512_CORE"),
        (SAPPHIRE, "AVX512_CORE_AMX"),
        (f"{SAPPHIRE} amx_fp16", "AVX512_CORE_AMX_FP16"),
    ],
)
def test_the_instructions_are_the_most_that_the_processor_has(told, flags, instructions):
    assert told(flags)["instructions"] == instructions


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize(
    "most, instructions",
    [
        ("AVX2", "AVX2"),
        ("avx2", "AVX2"),
        ("AVX512_CORE", "AVX512_CORE"),
        ("AVX10_1_512", "AVX512_CORE_FP16"),
        ("AVX512_CORE_AMX_FP16", "AVX512_CORE_AMX"),
        ("ALL", "AVX512_CORE_AMX"),
        ("nonsense", "AVX512_CORE_AMX"),
        ("", "AVX512_CORE_AMX"),
    ],
)
def test_and_no_more_than_the_environment_allows(told, name, most, instructions):
    capped = told(SAPPHIRE, **{name: most})
    assert (capped["instructions"], capped["variables"]) == (instructions, "")


def test_the_processor_is_named_without_what_changes_no_bit(told):
    found = told(AVX2)
    assert found["processor"] == "GenuineIntel 6 143" and found["gpus"] == ""
    assert told("asimd fp sve sha1 bf16", name="Features")["instructions"] == "asimd bf16 sve"


@pytest.mark.parametrize(
    "variables, told_of",
    [
        ({}, ""),
        ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "TF_ENABLE_ONEDNN_OPTS=0"),
        ({"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_VERBOSE": "1", "HOME": "x", "OMP_NUM_THREADS": "3"}, ""),
        ({"XLA_FLAGS": "--b", "NVIDIA_TF32_OVERRIDE": "0"}, "NVIDIA_TF32_OVERRIDE=0 XLA_FLAGS=--b"),
        ({"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "ONEDNN_DEFAULT_FPMATH_MODE=BF16"),
    ],
)
def test_variables_that_change_numbers_are_told(told, variables, told_of):
    assert told(AVX2, **variables)["variables"] == told_of


def test_long_values_that_differ_at_their_end_are_told_apart(told):
    one, other = (told(AVX2, XLA_FLAGS="x" * 5000 + end)["variables"] for end in "ab")
    assert one != other and len(one) < 350


def test_the_models_of_gpus_are_told_once_each(tmp_path, monkeypatch):
    for number, model in enumerate(("NVIDIA H100", "NVIDIA A100", "NVIDIA H100")):
        directory = tmp_path / "gpus" / f"0000:{number}"
        directory.mkdir(parents=True)
        (directory / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 7\nDevice Minor: \t {number}\n")
    monkeypatch.setattr("pipeline.process.environment.visible_gpus", lambda: ["0", "1", "2"])
    module = "NVIDIA UNIX Open Kernel Module for x86_64"
    (tmp_path / "version").write_text(f"NVRM version: {module}  580.159.04  Release Build\nGCC version: 12.2.0 \n")
    found = conditions(nvidia=tmp_path)
    assert found["gpus"] == "NVIDIA A100, NVIDIA H100"
    assert found["cuda"].split(", ")[0] == "driver 580.159.04"
    monkeypatch.setattr("pipeline.process.environment.visible_gpus", lambda: [])
    unused = conditions(nvidia=tmp_path)
    assert (unused["gpus"], unused["cuda"]) == ("", ""), "none of them is used"


def test_conditions_that_were_not_recorded_have_not_changed():
    before, now = {"machine": "x86_64", "gpus": ""}, {"machine": "x86_64", "gpus": "NVIDIA H100", "cuda": "driver 1"}
    assert changes(before, now) == ["gpus: none -> NVIDIA H100"]


def test_the_names_are_always_the_same(tmp_path):
    assert conditions(tmp_path / "none", tmp_path).keys() == conditions().keys()
