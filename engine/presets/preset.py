"""The registry of settings: meaning, bounds, cost and other names of each key of a preset.

The flags of the command line, their help, the prices of switches, imports of other programs' presets, exports and
`docs/settings.md` are derived from it. A new setting is one field here and its use: in `llama/sampling.py` or `llama/context.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec

from engine.errors import UsageError
from engine.presets.setting import Cost, Setting

__all__ = [
    "AUTO_STREAM_BATCH",
    "SAMPLING",
    "SETTINGS",
    "TYPES",
    "Cost",
    "KvType",
    "Preset",
    "Sampling",
    "cost_of_change",
    "kv_layout",
    "splits_kv",
    "value_of",
]

Auto = Literal["auto"]
Switch = Literal["auto", "on", "off"]

KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
"""Types that llama.cpp takes for the K and V halves of the KV cache."""

Threads = Annotated[int, msgspec.Meta(ge=1, le=1024)] | Auto

AUTO_STREAM_BATCH: Final = 4
"""First value of `stream_batch = auto`; the screen measures and chooses a better one."""

_BIAS: Final = re.compile(r"(\d{1,9})[=:]?([+-](?:inf|\d{1,6}(?:\.\d{1,6})?))(?=[\s,]|$)")
"""A token id and its bias."""

SAMPLING: Final = "sampling"
"""The table of a preset's sampling settings."""


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sampling settings. Names and defaults are llama.cpp's."""

    temperature: Annotated[
        float,
        msgspec.Meta(ge=0.0, le=10.0),
        Setting("0 is greedy (always the most likely token), higher is more random", Cost.HOT, "--temp", flags="--temp"),
    ] = 0.7
    top_k: Annotated[
        int, msgspec.Meta(ge=0, le=1_000_000), Setting("number of most likely tokens to keep, 0 keeps all", Cost.HOT, "--top-k")
    ] = 40
    top_p: Annotated[
        float,
        msgspec.Meta(gt=0.0, le=1.0),
        Setting("keep the most likely tokens up to this sum of probabilities, 1 keeps all", Cost.HOT, "--top-p"),
    ] = 0.95
    min_p: Annotated[
        float,
        msgspec.Meta(ge=0.0, le=1.0),
        Setting("drop tokens less likely than this share of the most likely one, 0 drops none", Cost.HOT, "--min-p"),
    ] = 0.05
    repeat_penalty: Annotated[
        float, msgspec.Meta(gt=0.0, le=10.0), Setting("divide the logits of recent tokens by this, 1 is off", Cost.HOT, "--repeat-penalty")
    ] = 1.0
    repeat_last_n: Annotated[
        int, msgspec.Meta(ge=0, le=1_000_000), Setting("recent tokens that the penalties apply to", Cost.HOT, "--repeat-last-n")
    ] = 64
    presence_penalty: Annotated[
        float,
        msgspec.Meta(ge=-2.0, le=2.0),
        Setting("subtract this from the logits of recent tokens, 0 is off", Cost.HOT, "--presence-penalty"),
    ] = 0.0
    frequency_penalty: Annotated[
        float,
        msgspec.Meta(ge=-2.0, le=2.0),
        Setting("subtract this from the logits of recent tokens for each time they occur, 0 is off", Cost.HOT, "--frequency-penalty"),
    ] = 0.0
    dry_multiplier: Annotated[
        float, msgspec.Meta(ge=0.0, le=100.0), Setting("penalty on continuing a repetition (DRY), 0 is off", Cost.HOT, "--dry-multiplier")
    ] = 0.0
    dry_base: Annotated[
        float, msgspec.Meta(ge=1.0, le=100.0), Setting("growth of the DRY penalty with each repeated token", Cost.HOT, "--dry-base")
    ] = 1.75
    dry_allowed_length: Annotated[
        int, msgspec.Meta(ge=1, le=10_000), Setting("longest repetition without a DRY penalty", Cost.HOT, "--dry-allowed-length")
    ] = 2
    dry_penalty_last_n: Annotated[
        int, msgspec.Meta(ge=-1, le=1_000_000), Setting("recent tokens that DRY compares, -1 all", Cost.HOT, "--dry-penalty-last-n")
    ] = -1
    typical_p: Annotated[
        float,
        msgspec.Meta(gt=0.0, le=1.0),
        Setting("keep the tokens of the most typical information up to this probability, 1 keeps all", Cost.HOT, "--typical"),
    ] = 1.0
    top_n_sigma: Annotated[
        float,
        msgspec.Meta(ge=-1.0, le=100.0),
        Setting("keep tokens within this many standard deviations of the largest logit, -1 is off", Cost.HOT, "--top-nsigma"),
    ] = -1.0
    xtc_probability: Annotated[
        float, msgspec.Meta(ge=0.0, le=1.0), Setting("chance of removing the most likely tokens (XTC)", Cost.HOT, "--xtc-probability")
    ] = 0.0
    xtc_threshold: Annotated[
        float, msgspec.Meta(ge=0.0, le=1.0), Setting("least probability of a token that XTC removes", Cost.HOT, "--xtc-threshold")
    ] = 0.1
    dynatemp_range: Annotated[
        float,
        msgspec.Meta(ge=0.0, le=10.0),
        Setting("temperature moves by this with the entropy of the tokens, 0 is off", Cost.HOT, "--dynatemp-range"),
    ] = 0.0
    dynatemp_exponent: Annotated[
        float, msgspec.Meta(gt=0.0, le=10.0), Setting("how the temperature follows the entropy", Cost.HOT, "--dynatemp-exp")
    ] = 1.0
    mirostat: Annotated[
        int, msgspec.Meta(ge=0, le=2), Setting("Mirostat version instead of the other ways to choose, 0 is off", Cost.HOT, "--mirostat")
    ] = 0
    mirostat_tau: Annotated[
        float, msgspec.Meta(ge=0.0, le=100.0), Setting("surprise that Mirostat aims at", Cost.HOT, "--mirostat-ent")
    ] = 5.0
    mirostat_eta: Annotated[float, msgspec.Meta(ge=0.0, le=1.0), Setting("learning rate of Mirostat", Cost.HOT, "--mirostat-lr")] = 0.1
    adaptive_target: Annotated[
        float,
        msgspec.Meta(ge=-1.0, le=1.0),
        Setting("probability that chosen tokens have on average (adaptive-p), below 0 is off", Cost.HOT, "--adaptive-target"),
    ] = -1.0
    adaptive_decay: Annotated[
        float, msgspec.Meta(ge=0.0, le=0.99), Setting("memory of adaptive-p, higher is slower", Cost.HOT, "--adaptive-decay")
    ] = 0.9
    logit_bias: Annotated[str | None, Setting("added to the logits of tokens, such as 15043+1 29871-inf", Cost.HOT, "-l --logit-bias")] = (
        None
    )
    ignore_eos: Annotated[bool, Setting("never end the answer by the model's own end", Cost.HOT, "--ignore-eos")] = False
    seed: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=4_294_967_294)] | None,
        Setting(
            "the same seed gives the same answer while nothing else runs, none draws one",
            Cost.HOT,
            "-s --seed",
            default_words="-1",
        ),
    ] = None

    @property
    def biases(self) -> dict[int, float]:
        """The biases of `logit_bias` by token id."""
        return {int(token): float(bias) for token, bias in _BIAS.findall(self.logit_bias or "")}

    def __post_init__(self) -> None:
        """Refuse a `logit_bias` that can't be read."""
        if self.logit_bias is not None and _BIAS.sub("", self.logit_bias).strip(" ,"):
            raise UsageError(f"logit_bias can't be {self.logit_bias[:80]!r}", "", "Write token ids with their biases: 15043+1 29871-inf")


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named set of engine settings; `auto` means: chosen for this machine and model when it is needed.

    Raises UsageError when settings contradict each other.
    """

    name: str = "daily"
    """The name of the preset and its file."""
    description: Annotated[str, Setting("one sentence for the list of presets", None)] = ""
    model: Annotated[
        str | None, Setting("a path, builtin, or the name of a model or family; none keeps the one in use", Cost.RELOAD, "-m --model")
    ] = None
    quant: Annotated[str | None, Setting("quant of the model's family, such as Q4_K_M; none keeps the one in use", Cost.RELOAD)] = None
    threads: Annotated[Threads, Setting("threads for decode", Cost.HOT, "-t --threads", "n_threads num_thread", default_words="-1 0")] = (
        "auto"
    )
    threads_batch: Annotated[Threads, Setting("threads for prefill", Cost.HOT, "-tb --threads-batch", default_words="-1 0")] = "auto"
    n_ctx: Annotated[
        Annotated[int, msgspec.Meta(ge=256, le=16_777_216)] | Auto,
        Setting(
            "size of the context window in tokens; auto takes what the model was trained for, at most 8,192",
            Cost.REBUILD,
            "-c --ctx-size",
            "num_ctx context",
            "--ctx",
            default_words="0",
        ),
    ] = "auto"
    parallel: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=64)] | Auto,
        Setting(
            "parallel answers, which share the n_ctx tokens; auto chooses as many as are useful and fit",
            Cost.REBUILD,
            "-np --parallel",
            "n_parallel num_parallel",
            default_words="-1",
        ),
    ] = "auto"
    n_batch: Annotated[
        int,
        msgspec.Meta(ge=32, le=16_384),
        Setting("most prompt tokens in one decode call", Cost.REBUILD, "-b --batch-size", "batch num_batch"),
    ] = 512
    n_ubatch: Annotated[
        Annotated[int, msgspec.Meta(ge=32, le=4096)] | Auto,
        Setting(
            "most tokens in one compute graph: smaller stops sooner, larger prefills faster", Cost.REBUILD, "-ub --ubatch-size", "ubatch"
        ),
    ] = "auto"
    type_k: Annotated[KvType, Setting("type of the K half of the KV cache", Cost.REBUILD, "-ctk --cache-type-k", kv_layout=str)] = "f16"
    type_v: Annotated[
        KvType,
        Setting(
            "type of the V half of the KV cache; all but f16, bf16 and f32 need flash attention",
            Cost.REBUILD,
            "-ctv --cache-type-v",
            kv_layout=str,
        ),
    ] = "f16"
    flash_attn: Annotated[
        Switch,
        Setting(
            "fused attention kernels; auto is on where the model allows it",
            Cost.REBUILD,
            "-fa --flash-attn",
            kv_layout=lambda value: "off" if value == "off" else "on",
        ),
    ] = "auto"
    mmap: Annotated[
        bool, Setting("map the file instead of reading it into private memory", Cost.RELOAD, "--mmap --no-mmap", "use_mmap")
    ] = True
    repack: Annotated[
        bool,
        Setting(
            "keep a rearranged copy of the weights: faster prefill, up to twice the memory", Cost.RELOAD, "--repack --no-repack", off="-nr"
        ),
    ] = True
    n_gpu_layers: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=9999)] | Literal["auto", "all"],
        Setting(
            "layers on devices such as GPUs; auto takes as many as fit",
            Cost.RELOAD,
            "-ngl --gpu-layers --n-gpu-layers",
            "num_gpu",
            "-ngl",
            default_words="-1",
        ),
    ] = "auto"
    devices: Annotated[
        str,
        Setting(
            "devices for the layers by name, such as CUDA0,CUDA1; auto is all of them, none the CPU only", Cost.RELOAD, "-dev --device"
        ),
    ] = "auto"
    rpc: Annotated[
        str | None, Setting("RPC workers that take layers, such as 127.0.0.1:50052; none uses no others", Cost.RELOAD, "--rpc")
    ] = None
    split_mode: Annotated[
        Literal["layer", "none", "row", "tensor"],
        Setting("how devices share the model: by layers, none (main_gpu only), by rows, or by tensors", Cost.RELOAD, "-sm --split-mode"),
    ] = "layer"
    tensor_split: Annotated[
        str | None, Setting("shares of the devices, such as 3,1; none goes by their free memory", Cost.RELOAD, "-ts --tensor-split")
    ] = None
    main_gpu: Annotated[
        int, msgspec.Meta(ge=0, le=63), Setting("the device used with split_mode none, counted from 0", Cost.RELOAD, "-mg --main-gpu")
    ] = 0
    cpu_moe: Annotated[bool, Setting("keep the experts of all layers on the CPU", Cost.RELOAD, "-cmoe --cpu-moe")] = False
    n_cpu_moe: Annotated[
        int,
        msgspec.Meta(ge=0, le=9999),
        Setting("keep the experts of the first layers on the CPU: how many layers", Cost.RELOAD, "-ncmoe --n-cpu-moe"),
    ] = 0
    kv_offload: Annotated[
        bool, Setting("keep the KV cache on the devices of its layers", Cost.REBUILD, "-kvo --kv-offload", off="-nkvo")
    ] = True
    op_offload: Annotated[
        bool, Setting("let devices compute large batches of layers that are on the CPU", Cost.REBUILD, "--op-offload")
    ] = True
    mmproj: Annotated[
        str,
        Setting("projector for pictures: a path; auto takes the one beside the model, none leaves it out", Cost.RELOAD, "-mm --mmproj"),
    ] = "auto"
    stream_batch: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=256)] | Auto, Setting("tokens delivered together to the screen", Cost.HOT)
    ] = "auto"
    max_tokens: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=16_777_216)] | None,
        Setting(
            "longest answer in tokens; none ends with the model's own end or the context window",
            Cost.HOT,
            "-n --predict --n-predict",
            "num_predict max",
            "-n",
            default_words="-1 -2",
        ),
    ] = None
    system: Annotated[
        str | None, Setting("system prompt of new sessions; none sends no system message", Cost.HOT, "-sys --system-prompt")
    ] = None
    thinking: Annotated[Switch, Setting("switch thinking on or off where the template has a switch", Cost.HOT, "--reasoning")] = "auto"
    repeatable: Annotated[
        bool,
        Setting("the same seed gives the same answer whatever else runs: slower, since nothing is shared or reused", Cost.HOT),
    ] = False
    json_schema: Annotated[str | None, Setting("JSON schema of answers, or its file", Cost.HOT, "-j --json-schema", "schema")] = None
    grammar: Annotated[str | None, Setting("grammar of answers in Lark or GBNF, or its file", Cost.HOT, "--grammar")] = None
    regex: Annotated[str | None, Setting("regular expression of answers", Cost.HOT)] = None
    logprobs: Annotated[Annotated[int, msgspec.Meta(ge=0, le=20)] | None, Setting("likeliest tokens noted for each", Cost.HOT)] = None
    lookup: Annotated[Literal["auto", "off"], Setting("guess tokens from earlier text and check several at once", Cost.HOT)] = "auto"
    result_cache: Annotated[bool, Setting("give the stored answer to the same greedy or seeded request at once", Cost.HOT)] = False
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        """Refuse contradictory settings."""
        if self.type_v not in {"f32", "f16", "bf16"} and self.flash_attn == "off":
            detail = f"type_v = {self.type_v} needs flash attention, and flash_attn is off"
            raise UsageError("type_v and flash_attn contradict each other", detail, "Set flash_attn to auto, or type_v to f16")
        if self.n_ubatch != "auto" and self.n_ubatch > self.n_batch:
            detail = f"A graph of {self.n_ubatch} tokens is never filled by batches of {self.n_batch}"
            raise UsageError("n_ubatch is larger than n_batch", detail, f"Set n_ubatch to {self.n_batch} or less, or raise n_batch")
        if sum(form is not None for form in (self.json_schema, self.grammar, self.regex)) > 1:
            raise UsageError("json_schema, grammar and regex can't be combined", "", "Set all but one of them to none")
        if self.tensor_split is not None and not sum(self.shares):
            title = f"tensor_split can't be {self.tensor_split[:80]!r}"
            raise UsageError(title, "It is a share for each device, and their sum is above 0", "For example: 3,1")

    @property
    def shares(self) -> tuple[float, ...]:
        """The numbers of `tensor_split`; none where it holds anything else."""
        words = re.split(r"[,/]", self.tensor_split or "")
        return tuple(map(float, words)) if all(re.fullmatch(r"\s*\d{1,6}(\.\d{1,6})?\s*", word) for word in words) else ()


def _hints() -> dict[str, Any]:
    outer, inner = get_type_hints(Preset, include_extras=True), get_type_hints(Sampling, include_extras=True)
    return {key: outer[key] for key in Preset.__struct_fields__ if key not in {"name", SAMPLING}} | {
        f"{SAMPLING}.{field}": inner[field] for field in Sampling.__struct_fields__
    }


TYPES: dict[str, Any] = _hints()
"""The type of every setting, with its bounds, by the name it has in `KEY=VALUE` and in messages (`sampling.top_k`)."""

SETTINGS: dict[str, Setting] = {
    key: next(extra for extra in hint.__metadata__ if isinstance(extra, Setting)) for key, hint in TYPES.items()
}
"""The registry, by the same names."""


def value_of(preset: Preset, key: str) -> Any:
    """Return the value of a setting."""
    table, _, field = key.rpartition(".")
    return getattr(preset.sampling if table else preset, field)


def cost_of_change(old: Preset, new: Preset) -> Cost | None:
    """Return the highest cost among the differing settings; None when no change has a cost."""
    costs = {setting.cost for key, setting in SETTINGS.items() if value_of(old, key) != value_of(new, key)}
    return next((cost for cost in reversed(Cost) if cost in costs), None)


def kv_layout(preset: Preset) -> str:
    """Return the KV layout of a preset: a saved state fits presets of the same layout only."""
    shapes = [setting.kv_layout(value_of(preset, key)) for key, setting in SETTINGS.items() if setting.kv_layout is not None]
    return " ".join([*shapes, f"split {preset.parallel}"] if splits_kv(preset) else shapes)


def splits_kv(preset: Preset) -> bool:
    """Return whether each answer has its own KV cache; without flash attention, every answer would compute with all cells."""
    return preset.flash_attn == "off" and preset.parallel not in {1, "auto"}
