-- Tokens guessed from earlier text, and what that gained

ALTER TABLE turns ADD COLUMN draft_n INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN draft_n_accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN draft_gain REAL;

DROP VIEW v_turns;

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
    t.draft_n,
    t.draft_n_accepted,
    t.draft_gain,
    t.queue_ms,
    t.template_ms,
    t.tokenize_ms,
    t.paint_ms,
    t.diverged_at,
    t.left_out,
    t.rss_peak_bytes,
    t.judged, t.disturbed, t.quiet_per_second, t.noisy, t.judged AND t.noisy IS NULL AND t.stop_reason <> 'error' AS clean,
    t.error,
    t.server_json,
    t.model_path,
    t.model_fingerprint,
    t.preset_json,
    p.cpu,
    p.kernel,
    p.xchat_version,
    p.llama_cpp_version
FROM turns AS t
JOIN sessions AS s ON s.id = t.session_id
LEFT JOIN processes AS p ON p.id = t.process_id;
