"""The views that other programs read (`VIEWS.md`), as SQL."""

from __future__ import annotations


def v_turns(verdict: str) -> str:
    """The view of turns; `verdict` is how its version selects whether a turn was disturbed."""
    return f"""
CREATE VIEW v_turns AS
SELECT
    t.id AS turn_id,
    t.session_id,
    s.title,
    strftime('%Y-%m-%dT%H:%M:%fZ', t.started_ms / 1000.0, 'unixepoch') AS started,
    t.started_ms,
    p.host,
    t.model,
    t.quant,
    t.preset,
    t.n_ctx,
    t.threads,
    t.threads_batch,
    t.stream_batch,
    t.stop_reason,
    t.cache_n,
    t.prompt_n,
    t.prompt_ms,
    CASE WHEN t.prompt_n > 0 AND t.prompt_ms > 0 THEN t.prompt_n / t.prompt_ms * 1000.0 END AS prompt_per_second,
    t.predicted_n,
    t.predicted_ms,
    CASE WHEN t.predicted_n > 0 AND t.predicted_ms > 0 THEN t.predicted_n / t.predicted_ms * 1000.0 END AS predicted_per_second,
    t.thinking_n,
    t.cache_n + t.prompt_n + t.predicted_n AS context_used,
    t.ttft_ms,
    t.first_visible_ms,
    t.first_paint_ms,
    t.itl_p50_ms,
    t.itl_p95_ms,
    t.itl_p99_ms,
    t.itl_max_ms,
    t.queue_ms,
    t.template_ms,
    t.tokenize_ms,
    t.paint_ms,
    t.diverged_at,
    t.left_out,
    t.rss_peak_bytes,
    {verdict},
    t.error,
    t.model_path,
    t.model_fingerprint,
    t.preset_json,
    p.cpu,
    p.kernel,
    p.xchat_version,
    p.llama_cpp_version
FROM turns AS t
JOIN sessions AS s ON s.id = t.session_id
LEFT JOIN processes AS p ON p.id = t.process_id
"""


def _byte(position: str) -> str:
    digits = f"hex(substr(t.token_times, {position}, 1))"
    return f"(instr('123456789ABCDEF', substr({digits}, 1, 1)) * 16 + instr('123456789ABCDEF', substr({digits}, 2, 1)))"


# The decoder of token_blob in SQL: `walk` goes byte by byte and gathers the bits of a varint, `steps` undoes the zigzag, the running
# sum turns changes of gaps into gaps. Being an argument of json_each, it runs only for the turns that the outer query asks for.
V_ITL = f"""
CREATE VIEW v_itl AS
SELECT
    t.id AS turn_id,
    t.session_id,
    t.model,
    t.quant,
    t.preset,
    gap.key + 2 AS token,
    gap.value / 1e6 AS itl_ms,
    gap.value / 1e6 > 4 * t.itl_p50_ms AS stall
FROM turns AS t, json_each((
    WITH RECURSIVE walk (position, byte, bits, shift) AS (
        SELECT 2, {_byte("2")}, {_byte("2")} & 127, 0
        UNION ALL
        SELECT
            position + 1,
            {_byte("position + 1")},
            CASE WHEN byte > 127 THEN bits | (({_byte("position + 1")} & 127) << (shift + 7)) ELSE {_byte("position + 1")} & 127 END,
            CASE WHEN byte > 127 THEN shift + 7 ELSE 0 END
        FROM walk
        WHERE position < length(t.token_times)
    ),
    steps (n, value) AS (
        SELECT row_number() OVER (ORDER BY position), CASE bits & 1 WHEN 1 THEN -(bits >> 1) - 1 ELSE bits >> 1 END
        FROM walk
        WHERE byte < 128
    )
    SELECT json_group_array(gap) FROM (SELECT sum(value) OVER (ORDER BY n) AS gap FROM steps WHERE n > 1)
)) AS gap
"""

V_SAMPLES = """
CREATE VIEW v_samples AS
SELECT
    a.id AS sample_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', a.wall_ms / 1000.0, 'unixepoch') AS at,
    a.wall_ms,
    a.session_id,
    a.turn_id,
    t.model,
    t.quant,
    t.preset,
    a.tokens_per_second,
    a.prompt_per_second,
    a.context_used,
    a.cpu_process_pct,
    a.cpu_machine_pct,
    a.steal_pct,
    a.rss_bytes,
    a.available_bytes,
    a.swap_bytes,
    a.major_faults,
    a.freq_mhz,
    a.temperature_c,
    a.power_w,
    a.threads,
    a.loop_lag_ms,
    a.tty_bytes_per_s
FROM samples AS a
LEFT JOIN turns AS t ON t.id = a.turn_id
"""

# A capture may outlive its turn, so turn_id is no foreign key. Stacks stand apart: lists of captures never read them.
