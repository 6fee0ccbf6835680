"""Every figure explained once: what it is, how it is made, where its inputs come from, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One figure."""

    id: str
    name: str
    unit: str
    formula: str
    source: str
    """Where the inputs come from."""
    levers: str
    """What would change it."""


_TOKENS = "Timestamps that the engine takes when a token is sampled (monotonic clock)."
_PROC_STATUS = "/proc/self/status."
_THREADS_LEVER = "threads (changes at the next token), another quant, a quieter machine."

DEFINITIONS: tuple[Definition, ...] = (
    # Speed
    Definition(
        "tokens_per_second",
        "Tokens per second, now",
        "t/s",
        "Gaps between tokens that ended within the last second, over their length. While a gap of over a second is open, one over it.",
        _TOKENS,
        _THREADS_LEVER,
    ),
    Definition(
        "predicted_per_second",
        "Tokens per second, mean of the turn",
        "t/s",
        "While the answer grows (n - 1) / (last token - first token). Afterwards predicted_n / predicted_ms, as llama-server counts: "
        "from the end of the prefill to the last token.",
        _TOKENS,
        "the depth of the context (more KV to read per token), and all that changes tokens per second now.",
    ),
    Definition(
        "on_screen_per_second",
        "Tokens per second on the screen",
        "t/s",
        "Tokens in the chunks painted within the last second, divided by the time between those paints.",
        "When the transcript says that a chunk was painted.",
        "stream_batch, the width of the terminal, the line to it.",
    ),
    Definition(
        "prompt_per_second",
        "Prefill speed",
        "t/s",
        "Prompt tokens evaluated / prefill time. Tokens reused from the KV cache don't count.",
        "The engine's clock around its prefill calls.",
        "threads_batch, n_ubatch, repacked weights (`repack`), another quant.",
    ),
    Definition(
        "prefill_share",
        "Prompt read",
        "%",
        "Prompt tokens evaluated so far / prompt tokens to evaluate in this turn; ETA is what is left at the mean speed so far.",
        "The engine's clock around its prefill calls.",
        "a prompt that begins like the one before, and all that changes the prefill speed.",
    ),
    Definition(
        "predicted_n",
        "Tokens generated",
        "tokens",
        "Count of sampled tokens of the turn, thinking included; the end-of-generation token doesn't count.",
        "The engine's decode loop.",
        "max_tokens, the question.",
    ),
    Definition(
        "stream_batch",
        "Tokens per chunk",
        "tokens",
        "Tokens that travel together from the engine to the screen. `auto` takes the smallest number that keeps painting under its share "
        "of a core and the bytes under what the line carries.",
        "The preset, or the measured cost of painting.",
        "Alt+B and Alt+S, or `stream_batch` in the preset.",
    ),
    # Latency
    Definition(
        "itl_p50_ms",
        "Inter-token latency, median",
        "ms",
        "Nearest-rank percentile of the gaps between tokens: live over the last 1,024 gaps of the turn, exact once it is finished.",
        _TOKENS,
        _THREADS_LEVER,
    ),
    Definition(
        "itl_p95_ms",
        "Inter-token latency, 95th percentile",
        "ms",
        "As the median; 95 % of the gaps are not longer.",
        _TOKENS,
        _THREADS_LEVER,
    ),
    Definition(
        "itl_p99_ms",
        "Inter-token latency, 99th percentile",
        "ms",
        "As the median; 99 % of the gaps are not longer.",
        _TOKENS,
        "one thread fewer than cores, so that the screen never takes a core from a worker; fewer neighbours.",
    ),
    Definition(
        "itl_max_ms", "Longest gap", "ms", "The longest gap between two tokens of the turn.", _TOKENS, "what caused the stall, see events."
    ),
    Definition(
        "itl_histogram",
        "Gaps",
        "ms",
        "How many gaps between tokens of the turn lie in each half octave (a step is 1.41 times the one before), from the shortest to the "
        "longest that there was.",
        _TOKENS,
        "what changes the median moves it whole; stalls stand apart on the right.",
    ),
    Definition(
        "stalls",
        "Stalls per minute",
        "1/min",
        "Gaps over four times the median (and over 20 ms) that ended in the last minute. The cause is the first of these seen in that "
        "time: capture, garbage collection, throttling, swapping, page faults, steal, a busy neighbour, a flush of the screen.",
        "Token timestamps, the collector's callbacks, paints, and the sample of the machine that covers the gap.",
        "what is named as the cause.",
    ),
    Definition(
        "ttft_ms",
        "Time to first token",
        "ms",
        "From sending the message to the first token in the engine: queue + template + tokenize + reuse + prefill + first sample.",
        "The engine's clock at each step.",
        "a prompt that begins like the one before (it is reused), prefill speed, a shorter system prompt.",
    ),
    Definition(
        "waterfall",
        "Steps to the first token",
        "ms",
        "queue: waiting for the compute thread. template: making the prompt's text. tokenize: text to tokens. reuse: comparing with the "
        "KV cache and restoring from it, what the other steps leave of the whole. prefill: evaluating the prompt. first sample: from "
        "there to the first token.",
        "The engine's clock at each step of the last finished turn.",
        "queue: other work of the engine. prefill: a prompt that begins like the one before.",
    ),
    Definition(
        "first_visible_ms",
        "Time to first visible token",
        "ms",
        "From sending to the first token with text outside a thinking block.",
        _TOKENS,
        "thinking = off, and all that changes the time to first token.",
    ),
    Definition(
        "first_paint_ms",
        "Time to first paint",
        "ms",
        "From sending to the first text of the answer on the screen.",
        "The engine's clock and when the transcript says that it painted.",
        "stream_batch, the line to the terminal.",
    ),
    # Context
    Definition(
        "context_used",
        "Context used",
        "tokens",
        "cache_n + prompt_n + predicted_n, of n_ctx.",
        "The engine's own token count, never text length.",
        "n_ctx (rebuilds the context), a new session, the system prompt.",
    ),
    Definition(
        "cache_n",
        "Reused",
        "tokens",
        "Prompt tokens that the KV cache already held: the longest common beginning with what was there.",
        "Comparing token by token before the prefill.",
        "leaving the beginning of the conversation as it is.",
    ),
    Definition(
        "prompt_n",
        "Evaluated afresh",
        "tokens",
        "Prompt tokens that had to be evaluated in this turn.",
        "The engine's prefill.",
        "what is new in the conversation; edits and another system prompt make everything after them new.",
    ),
    Definition(
        "diverged_at",
        "Diverged at",
        "token",
        "First position where the prompt differs from what the KV cache held; unknown when it held nothing more.",
        "Comparing token by token before the prefill.",
        "an edit, a regenerate, another system prompt, a template that puts in the date.",
    ),
    Definition(
        "left_out",
        "Left out",
        "turns",
        "Oldest turns that are not in the prompt because the window is full.",
        "Fitting the conversation into the window.",
        "n_ctx, a new session.",
    ),
    # Memory
    Definition(
        "rss_bytes",
        "RSS",
        "bytes",
        "Resident memory of this process: private + files + shared.",
        _PROC_STATUS,
        "a smaller quant, n_ctx, KV type, repack = false.",
    ),
    Definition(
        "anon_bytes",
        "Private memory",
        "bytes",
        "RssAnon: KV cache, compute buffers, repacked weights, Python.",
        _PROC_STATUS,
        "n_ctx, KV type, n_ubatch, repack = false.",
    ),
    Definition(
        "file_bytes",
        "Mapped files",
        "bytes",
        "RssFile: pages of the model's file and of libraries that are mapped and touched. The kernel can drop them, so they count as "
        "available too.",
        _PROC_STATUS,
        "a smaller quant, mmap = false.",
    ),
    Definition(
        "weights_resident",
        "Weights in RAM",
        "bytes",
        "Pages of the model's mapped file that are in RAM, of all that is mapped. Looked at every five seconds.",
        "mincore() over the mapping in /proc/self/maps.",
        "more free memory; weights that are not in RAM come from the disk, as major faults show.",
    ),
    Definition(
        "kv_bytes",
        "KV cache and compute buffers",
        "bytes",
        "What llama.cpp reserved for the context and its graphs; part of the private memory once it was touched.",
        "The engine, when the context was made.",
        "n_ctx, type_k and type_v, n_ubatch.",
    ),
    Definition(
        "python_bytes",
        "Python",
        "bytes",
        "Private memory - KV cache - compute and output buffers - repacked weights; buffers that were not touched yet make it too small.",
        "/proc/self/status and the engine.",
        "long sessions, open captures.",
    ),
    Definition(
        "weights_repacked",
        "Repacked weights",
        "bytes",
        "Weights that llama.cpp copied into an order that its fastest arithmetic reads; private, beside the mapped file.",
        "The engine, when the model was loaded.",
        "repack = false (less memory, slower prefill), the quant.",
    ),
    Definition(
        "others_bytes",
        "Others",
        "bytes",
        "Total - available - our private and shared memory: what other programs hold and the kernel can't drop.",
        "/proc/meminfo and /proc/self/status.",
        "closing other programs.",
    ),
    Definition(
        "available_bytes",
        "Available",
        "bytes",
        "What can be had without swapping, droppable file pages included.",
        "/proc/meminfo, MemAvailable.",
        "closing other programs, a smaller quant.",
    ),
    Definition("total_bytes", "Total", "bytes", "RAM of the machine.", "/proc/meminfo, MemTotal.", "another machine."),
    Definition(
        "limit_bytes",
        "Limit",
        "bytes",
        "What the control group allows this process and those beside it.",
        "memory.max or memory.limit_in_bytes.",
        "the container's limits.",
    ),
    Definition(
        "swap_bytes", "Own swap", "bytes", "Memory of this process that is swapped out.", "/proc/self/status, VmSwap.", "more free memory."
    ),
    Definition(
        "major_faults",
        "Major faults",
        "1/sample",
        "Page faults of this process that waited for the disk since the last look.",
        "getrusage().",
        "more free memory, mlock by the system, a first pass over the weights.",
    ),
    # CPU
    Definition(
        "cpu_machine_pct",
        "CPU, whole machine",
        "% of all cores",
        "Busy time (user, nice, system, interrupts, steal) / all time since the last look.",
        "/proc/stat.",
        "threads, neighbours.",
    ),
    Definition(
        "cores_pct",
        "Cores",
        "% of one core",
        "Number of cores, and a bar with the busy share of each since the last look; a full bar is 100 %.",
        "/proc/stat.",
        "threads, neighbours.",
    ),
    Definition(
        "cpu_own_pct",
        "CPU, xchat",
        "% of all cores",
        "User and system time of this process / time since the last look / number of cores; with the others it makes the whole machine.",
        "getrusage().",
        "threads, stream_batch, hiding the panel.",
    ),
    Definition(
        "cpu_others_pct",
        "CPU, others",
        "% of all cores",
        "Whole machine - xchat's share of all cores.",
        "/proc/stat and getrusage().",
        "stopping other programs. Above 15 % on average a turn counts as noisy.",
    ),
    Definition(
        "steal_pct",
        "Steal",
        "% of all cores",
        "Time in which the hypervisor ran somebody else while we wanted to run.",
        "/proc/stat.",
        "another virtual machine type; nothing inside this one.",
    ),
    Definition(
        "throttled_pct",
        "Throttled",
        "% of time",
        "Time in which the control group's quota was used up / time since the last look.",
        "cpu.stat of the control group.",
        "a larger CPU quota of the container, fewer threads.",
    ),
    Definition(
        "freq_mhz", "Frequency", "MHz", "Mean over the first cores.", "cpufreq in /sys.", "the governor, cooling, fewer busy cores."
    ),
    Definition(
        "governor",
        "Governor",
        "",
        "The rule by which the kernel picks the frequency.",
        "scaling_governor in /sys.",
        "`cpupower frequency-set`, the power profile of the desktop.",
    ),
    Definition("temperature_c", "Temperature", "°C", "Hottest sensor of the processor.", "hwmon or thermal zones in /sys.", "cooling."),
    Definition(
        "quota_cores", "Quota", "cores", "Quota / period of the control group.", "cpu.max or cpu.cfs_quota_us.", "the container's limits."
    ),
    Definition("load", "Load", "tasks", "Runnable tasks, mean of the last minute.", "getloadavg().", "neighbours, threads."),
    Definition(
        "power_w",
        "Power",
        "W",
        "Energy of the processor packages / time since the last look, other programs and idle share included.",
        "RAPL counters in /sys/class/powercap.",
        "threads, the governor.",
    ),
    Definition(
        "joules_per_token",
        "Energy per token",
        "J",
        "Power / tokens per second now.",
        "RAPL counters and token timestamps.",
        "threads: the quickest setting is seldom the thriftiest.",
    ),
    Definition(
        "thread_running_pct",
        "Thread, running",
        "% of one core",
        "Time on a core / time since the last look. Compute workers that spin at a barrier count as running.",
        "/proc/self/task/*/schedstat.",
        "threads.",
    ),
    Definition(
        "thread_waiting_pct",
        "Thread, waiting",
        "% of time",
        "Time ready to run while no core was free / time since the last look.",
        "/proc/self/task/*/schedstat.",
        "one thread fewer, fewer neighbours.",
    ),
    Definition(
        "threads_chosen",
        "Threads that decode and prefill",
        "threads",
        "How many compute, and why: set by the preset, or chosen by `auto` from what was measured.",
        "The preset and the thread governor.",
        "F7 and F8, `threads` and `threads_batch` in the preset.",
    ),
    # Roofline
    Definition(
        "bandwidth_gb_s",
        "Bandwidth reached",
        "GB/s",
        "Bytes per token x tokens per second, in 10^9 bytes. An estimate from a model of the work, not a counter.",
        "The model's header and token timestamps.",
        "whatever changes the speed.",
    ),
    Definition(
        "bandwidth_share",
        "Share of measured bandwidth",
        "%",
        "Bandwidth reached / read bandwidth of this host: a sweep over 256 MB with as many threads, the best of the last five.",
        "`engine.host.bandwidth`, once on request, kept per host.",
        "threads; when it is near 100 %, only a smaller quant or faster memory helps.",
    ),
    Definition(
        "bytes_per_token",
        "Bytes per token",
        "bytes",
        "Weights read once (of experts only the active ones) + KV cache at this depth, in blocks of 256 positions.",
        "The model's header; the context used.",
        "another quant, KV type, a shorter conversation.",
    ),
    Definition(
        "ceiling_tokens_per_second",
        "Ceiling",
        "t/s",
        "Measured read bandwidth / bytes per token.",
        "As above.",
        "a smaller quant, faster memory.",
    ),
    Definition(
        "compute_share",
        "Share of measured arithmetic",
        "%",
        "2 x active weights x tokens per second / measured matrix speed in single precision.",
        "The model's header; `engine.host.bandwidth`.",
        "threads.",
    ),
    # The price of looking
    Definition(
        "ui_pct",
        "CPU of the screen",
        "% of one core",
        "Running time of the event loop's and the terminal's threads.",
        "/proc/self/task/*/schedstat.",
        "stream_batch, hiding the panel, a smaller terminal, --low-bandwidth.",
    ),
    Definition(
        "paint_ms",
        "Paint per chunk",
        "ms",
        "Mean time to paint one chunk, over the last five seconds.",
        "The transcript.",
        "stream_batch, the width of the terminal.",
    ),
    Definition(
        "paint_pct",
        "Painting",
        "% of one core",
        "Time spent on painting chunks / time, over the last five seconds; paints is how many there were a second.",
        "The transcript.",
        "stream_batch, the width of the terminal.",
    ),
    Definition(
        "loop_lag_p99_ms",
        "Event-loop lag, p99",
        "ms",
        "How late a timer of the event loop wakes up, ten times a second, over the last minute; p50 and max are of the same.",
        "The event loop.",
        "one compute thread fewer than cores.",
    ),
    Definition(
        "tty_bytes_per_s",
        "To the terminal",
        "bytes/s",
        "Bytes written to the terminal since the last look / time.",
        "The terminal driver.",
        "--low-bandwidth, stream_batch, `ssh -C`, hiding the panel.",
    ),
    Definition(
        "tty_blocked_pct",
        "Blocked",
        "%",
        "Time that writes to the terminal waited since the last look / time.",
        "The terminal driver.",
        "--low-bandwidth, `ssh -C`, hiding the panel.",
    ),
    Definition(
        "round_trip_ms",
        "Round trip",
        "ms",
        "From a question to the terminal (its device attributes) to its answer, after everything sent before was drawn. Inside tmux "
        "it is tmux that answers.",
        "The terminal driver.",
        "the line to the terminal, and what is sent over it.",
    ),
    Definition("panel_ms", "Drawing the panel", "ms", "Composing one picture of the panel.", "The panel.", "fewer panes, a lower density."),
    Definition("sample_ms", "Sampling the machine", "ms", "Reading /proc and /sys once.", "The sampler.", "fewer threads."),
    # Trust
    Definition(
        "noisy",
        "Noisy",
        "",
        "A turn whose figures are not to be compared: a capture ran, others used over 15 % of the cores, steal or throttling over 5 %, "
        "over 20 swapped pages or page faults a second, the clock fell by over 15 %, or the processor was over 95 °C.",
        "Samples of the machine during the turn.",
        "what is named as the cause.",
    ),
    Definition(
        "alerts",
        "Alerts",
        "",
        "Thresholds that are crossed now; each is told once and armed again when the figure is under 90 % of it.",
        "`[alerts]` in config.toml over the defaults.",
        "the threshold, or what the alert names.",
    ),
)
"""All of them, by subject."""

BY_ID: Mapping[str, Definition] = {definition.id: definition for definition in DEFINITIONS}
