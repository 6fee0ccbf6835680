"""What the guide knows about running language models: speed, memory, quants, threads, sampling, files."""

from __future__ import annotations

from engine.guide.training.corpus.topics import Topic, topic

SPEED: tuple[Topic, ...] = (
    topic(
        "token",
        "a token; tokens; token",
        ask=("how long is a token", "how many characters are in a token", "is a token a word", "how many words is 100 tokens"),
        say=(
            "A **token** is the piece of text a model works with: a short word, part of a long word, or a punctuation mark. "
            "In English one token is about four characters, so 100 tokens are roughly 75 words.",
            "Models do not read letters, they read tokens: {bits|pieces} of words from a fixed vocabulary. A rule of thumb for English is "
            "four characters per token{, or three words for four tokens|}.",
        ),
        short="A piece of text, about four characters in English.",
        why="Because a fixed list of word pieces covers any text with a vocabulary a model can handle.",
        example='The word "unbelievable" may be three tokens: `un`, `believ`, `able`.',
    ),
    topic(
        "tokens-per-second",
        "tokens per second; tokens/s; tok/s; t/s; tps; generation speed; decode speed",
        ask=(
            "how is speed measured",
            "how fast is a model",
            "how do you measure the speed of a model",
            "what is a good speed",
            "how many tokens per second is good",
            "is 10 tokens per second fast",
            "how fast should it be",
        ),
        say=(
            "**Tokens per second** says how fast the model writes: generated tokens divided by decode time. "
            "{Reading speed is about 5 to 8 tokens/s, so anything above 10 feels fluent|People read at about 5 to 8 tokens/s, so 10 is comfortable}.",
            "It is the number of tokens generated per second of decode time. xchat computes it from engine timestamps, not from what the screen shows, "
            "{and shows prefill speed apart from it|and keeps prefill speed as a separate figure}. About 10 tokens/s already feels fluent.",
        ),
        short="Generated tokens divided by decode time.",
        why="Because decoding is what you wait for while the text appears; the prompt is measured apart, as prefill speed.",
        example="128 tokens in 4 seconds of decode time are 32 tokens/s.",
        more="On a CPU the limit is mostly memory bandwidth: each token reads all the weights once. Half the file size is about twice the tokens/s.",
        weight=1.4,
    ),
    topic(
        "ttft",
        "ttft; time to first token; first token latency",
        ask=(
            "why do I wait before the first word",
            "why does it take so long until the first word comes",
            "why is there a pause before the answer",
            "what happens before the first token",
            "how can I get the first token sooner",
            "how do i lower ttft",
            "reduce time to first token",
        ),
        say=(
            "**TTFT** is the time to first token: from sending the message to the first token out of the engine. "
            "Most of it is prefill, so a long prompt means a long wait{; text already in the KV cache costs nothing|}.",
            "TTFT means *time to first token*. It contains the template, tokenizing, the prefill of the prompt and the first sample. "
            "To lower it: shorter prompts, {more batch threads|a larger n_ubatch}, and reuse of the KV cache from turn to turn.",
        ),
        short="Time from sending to the first token; mostly prefill.",
        why="Because the model has to read the whole prompt before it can write the first token.",
        example="A prompt of 900 new tokens at 300 tokens/s of prefill gives a TTFT of about 3 seconds.",
        more="xchat shows TTFT in parts: queue, template, tokenize, cache reuse, prefill, first sample.",
        weight=1.4,
    ),
    topic(
        "prefill",
        "prefill; prompt processing; prompt evaluation; prompt eval; pp",
        ask=(
            "how does the model read the prompt",
            "what does pp512 mean",
            "what is the difference between prefill and decode",
            "prefill vs decode",
        ),
        say=(
            "**Prefill** is the reading phase: the model takes in the whole prompt, many tokens at once, and fills the KV cache. "
            "It is limited by compute, so {more cores help|all cores help}; decode comes after it, one token at a time.",
            "In prefill the prompt is evaluated in batches before the first token is written. It is bound by arithmetic, while **decode** is bound by memory "
            "bandwidth. That is why prefill is {many times|much} faster per token.",
        ),
        short="Reading the prompt in batches, before the first token.",
        why="Because many prompt tokens can share one pass over the weights, so the work is arithmetic and not memory traffic.",
        example="`pp512` in a benchmark is the prefill speed for 512 prompt tokens.",
        more="Only new tokens are prefilled. What the KV cache still holds from the last turn is reused.",
        weight=1.2,
    ),
    topic(
        "decode",
        "decode; decoding; token generation; the decode phase; tg",
        ask=("how does the model write the answer", "what does tg128 mean", "why is decode slower than prefill", "why one token at a time"),
        say=(
            "**Decode** is the writing phase: one token per pass through the model. Every token reads all the weights once, so it is limited by memory "
            "bandwidth{ and not by arithmetic|}.",
            "While decoding, the model produces one token at a time, each from all the tokens before. The weights must come from memory for each of them, "
            "so **memory bandwidth** sets the speed{, and a smaller quant is faster|}.",
        ),
        short="Writing, one token at a time, bound by memory bandwidth.",
        why="Because each new token depends on the one before, so nothing can be batched in a single chat.",
        example="`tg128` in a benchmark is the speed of generating 128 tokens.",
        more="Prefill is the other phase: it reads the prompt in batches and is bound by arithmetic.",
    ),
    topic(
        "itl",
        "inter-token latency; itl; latency between tokens; time per token",
        ask=(
            "what is the gap between tokens",
            "why are some tokens slower than others",
            "why does the text come unevenly",
            "what is itl p99",
        ),
        say=(
            "**Inter-token latency** is the gap between two neighbouring tokens, measured in the engine. xchat shows p50, p95, p99 and the maximum, in milliseconds, "
            "{because an average hides hiccups|because a mean hides the hiccups}.",
            "ITL is the time from one token to the next. The median (p50) tells the usual pace and p99 the {hiccups|worst moments}. 20 ms between tokens means 50 tokens/s.",
        ),
        short="The gap between two tokens, in milliseconds.",
        why="Because an even stream reads better than a fast one that stutters, and the mean can't show that.",
        example="p50 of 16 ms with p99 of 90 ms: fast, but one token in a hundred takes a noticeable break.",
    ),
    topic(
        "stall",
        "a stall; stalls; stall markers; hiccups",
        ask=("why does it freeze for a moment", "what counts as a stall", "why did the answer hang for a moment"),
        say=(
            "A **stall** is a gap between two tokens that is longer than four times the median gap. {Usual causes|Likely causes} are a busy neighbour process, "
            "swapping, page faults or throttling.",
            "xchat calls it a stall when one token takes over **four times** the median. Look for swapping, another busy program, or a hot CPU that throttles.",
        ),
        short="A gap over four times the median.",
        why="Four medians is far enough from the normal jitter that something really got in the way.",
        example="With a median of 20 ms, a token that takes 85 ms is a stall.",
    ),
    topic(
        "percentiles",
        "p99; p95; p50; percentiles; the median; percentile",
        ask=("what does p99 mean", "why percentiles and not the average", "what do p50 and p95 mean"),
        say=(
            "**p99** is the value that 99 % of the measurements do not exceed; p50 is the median. {They show hiccups that an average hides|An average would hide the hiccups}.",
            "A percentile says how many values lie below: half for p50, 95 of 100 for p95, 99 of 100 for **p99**. The high ones tell about {stutter|the bad moments}.",
        ),
        short="The value that this share of measurements stays below.",
        example="p95 = 30 ms: 95 of 100 tokens came within 30 ms.",
    ),
    topic(
        "slow",
        "",
        ask=(
            "why is it {so |}slow",
            "why is my model slow",
            "it is slow",
            "how can i make it faster",
            "how do i speed it up",
            "make it faster",
            "speed tips",
            "how to get more tokens per second",
            "improve performance",
            "it's too slow",
            "what can I do about low speed",
            "the answers are slow",
            "generation is very slow",
            "how to increase speed",
            "tips for speed",
            "any advice to go faster",
            "why are the answers so slow",
        ),
        say=(
            "Try these, one at a time:\n\n1. A smaller **quant**, such as Q4_K_M.\n2. Threads equal to the physical cores, or `auto`.\n3. A smaller context, if memory is short.\n"
            "4. Close other busy programs.\n\nWatch tokens/s in the panel after each step.",
            "Decode speed is mostly memory bandwidth, so the surest step is a smaller **quant** or a smaller model. Then check threads: physical cores, not hyper-threads"
            "{, and nothing else busy on the machine|}.",
            "Three usual reasons: the file is large for your memory bandwidth, the **threads** do not fit the cores, or memory is short and the machine swaps. "
            "{A smaller quant helps in most cases|Start with a smaller quant}.",
        ),
        short="Smaller quant, threads = physical cores, no swapping.",
        why="Because each token reads all the weights from memory, and that traffic is the limit.",
        example="Going from Q8_0 to Q4_K_M nearly halves the bytes per token, so it gives nearly twice the tokens/s.",
        weight=1.6,
    ),
    topic(
        "roofline",
        "the roofline; roofline; the roofline gauge; bandwidth utilisation",
        ask=("how close am i to the limit of my machine", "how much of the bandwidth do i use", "what is the upper limit of speed"),
        say=(
            "The **roofline** compares your speed with what the machine can do: bytes read per token × tokens/s, as GB/s, against the measured memory bandwidth. "
            "{Above 80 % there is little left to win|Near 90 % you are at the limit}.",
            "It is a ceiling: memory **bandwidth** divided by the bytes each token reads. If decode reaches 80 to 90 % of it, only a smaller quant makes it faster.",
        ),
        short="Bytes per token × tokens/s against the memory bandwidth.",
        why="Because decoding is bound by memory, so the bandwidth tells the best possible speed.",
        example="A 4 GB file and 40 GB/s of bandwidth: at most 10 tokens/s.",
    ),
    topic(
        "bandwidth",
        "memory bandwidth; ram bandwidth; bandwidth; memory speed",
        ask=(
            "why does memory speed matter",
            "why is ram speed important",
            "is it the cpu or the memory that limits",
            "does faster ram help",
            "what limits decode speed",
        ),
        say=(
            "**Memory bandwidth** is how many GB/s the CPU can read from RAM. Each generated token reads all weights once, so tokens/s is at most bandwidth divided by file size.",
            "Decoding streams the whole model through the CPU for every token, which makes memory **bandwidth** the limit. Faster RAM or a second memory channel "
            "{helps more than more cores|beats extra cores}.",
        ),
        short="GB/s from RAM; it limits decode speed.",
        why="Because the weights do not fit into the CPU's caches, they come from RAM again for each token.",
        example="With 40 GB/s and a 5 GB file, 8 tokens/s is the ceiling.",
        weight=1.2,
    ),
    topic(
        "noisy",
        "a noisy run; noisy runs; the noisy flag; noisy",
        ask=("why is my run marked noisy", "what does noisy mean", "why is a turn left out of comparisons"),
        say=(
            "A run is marked **noisy** when something disturbed it: a busy neighbour process, throttling, swapping or a capture. Such runs are left out of comparisons.",
            "**Noisy** means the figure can't be trusted: another program, heat or swapping got in the way. xchat keeps it but does not {compare|use it for comparisons} with it.",
        ),
        short="Something disturbed the measurement.",
        why="Because a comparison with a disturbed run would tell about the neighbour, not about your setting.",
    ),
    topic(
        "benchmark",
        "a benchmark; benchmarking; bench; llama-bench",
        ask=(
            "how do i benchmark my model",
            "how do I compare two settings",
            "how to measure properly",
            "how can i test the speed",
            "how do i run a speed test",
        ),
        say=(
            "Compare on a quiet machine, with the same prompt and seed, several times each, and change **one** setting at a time. The usual rows are `pp512` for prefill and `tg128` for decode.",
            "A fair **benchmark** repeats: same prompt, same seed, nothing else running, and the mean with its spread. llama-bench names the rows `pp512` (prefill) and `tg128` (decode).",
        ),
        short="Same prompt, one change at a time, several repeats.",
        why="Because single runs vary by several percent, and without repeats you compare noise.",
        example="Five answers with 4 threads, five with 6, in turns; then look at the median tokens/s.",
    ),
)

MEMORY: tuple[Topic, ...] = (
    topic(
        "kv-cache",
        "the kv cache; kv cache; kv-cache; key value cache; kvcache; kv; the k/v cache",
        ask=(
            "where does the model remember the conversation",
            "how is the conversation kept in memory",
            "how big is the kv cache",
            "how can i make the kv cache smaller",
            "what is stored per token",
            "why is the second turn faster",
            "why is the second answer faster than the first",
        ),
        say=(
            "The **KV cache** keeps the keys and values of every token so far, so that the model does not read the conversation again for each new token. "
            "It grows with the context{; an 8-bit KV type halves it|}.",
            "It is the model's memory of the conversation: for each token, a key and a value per layer. Thanks to the **KV cache** a second turn only prefills what is new. "
            "Its size grows with `n_ctx`.",
        ),
        short="Keys and values of all tokens so far, kept so nothing is read twice.",
        why="Without it the model would have to read the whole conversation again for each token.",
        example="A model with 32 layers and 1024 KV values per layer needs 128 KB per token in f16, so 512 MB for 4,096 tokens.",
        more="Two ways to make it smaller: a smaller `n_ctx`, or `type_k` and `type_v` set to q8_0.",
        weight=1.5,
    ),
    topic(
        "kv-type",
        "type_k; type_v; the kv type; kv cache quantization; an 8-bit kv cache; kv quantization",
        ask=(
            "should i quantize the kv cache",
            "can i use q8_0 for the kv cache",
            "how do I halve the kv cache",
            "is an 8 bit kv cache worse",
        ),
        say=(
            "`type_k` and `type_v` set the type of the **KV cache**. q8_0 halves it compared with f16, at hardly any loss; a quantized V half needs flash attention.",
            "You can keep the **KV cache** in q8_0 instead of f16: half the memory and nearly the same answers. Set `type_k` and `type_v` in the preset; it costs a rebuild of the context.",
        ),
        short="q8_0 halves the KV cache at hardly any loss.",
        why="The V half is only read in quantized form by the fused kernels, hence flash attention.",
        example="512 MB of KV cache in f16 become about 272 MB in q8_0.",
    ),
    topic(
        "n-ctx",
        "n_ctx; the context window; context window; context size; context length; the context; ctx; nctx",
        ask=(
            "how long can a conversation be",
            "how much text can the model remember",
            "how big should the context be",
            "how do i change the context size",
            "how many tokens fit",
            "what context size should i use",
            "how do i get a larger context",
            "can i make the context bigger",
        ),
        say=(
            "**n_ctx** is the size of the context window in tokens: how much conversation the model can see at once. Larger costs more KV cache. "
            "On `auto` xchat takes what the model was trained for, at most 8,192.",
            "The context window, `n_ctx`, is the number of tokens the model can look back on, prompt and answer together. {Changing it rebuilds the context|A change rebuilds the context}; "
            "memory for the **KV cache** grows with it.",
        ),
        short="How many tokens the model can see at once.",
        why="Because each token in the window keeps its keys and values in memory.",
        example="4,096 tokens are about 3,000 English words, some six pages.",
        more="My own window is 4,096 tokens. Larger models often have 32,768 or more.",
        weight=1.5,
    ),
    topic(
        "context-full",
        "a full context; the end of the context",
        ask=(
            "what happens when the context is full",
            "the context is full",
            "what if the conversation gets too long",
            "does it forget old messages",
            "why did it forget the beginning",
            "what does left out mean",
            "the conversation is too long",
            "context overflow",
        ),
        say=(
            "When the conversation outgrows the window, xchat leaves the **oldest** turns out of the prompt and says so on the screen. They stay in the session and in the log.",
            "Whole {oldest|old} turns are left out of the prompt, the **oldest** first, and a notice tells how many. Nothing is deleted; start a new session with **${key:new_session}** or raise `n_ctx` if it matters.",
        ),
        short="The oldest turns are left out of the prompt, with a notice.",
        why="Because a model can't see more tokens than its window holds.",
    ),
    topic(
        "mmap",
        "mmap; memory mapping; memory mapped files; mmap of the model",
        ask=(
            "why does the model not show up in memory",
            "should i turn mmap off",
            "why does the load take no time",
            "why is used memory so low",
            "is the file read into ram",
        ),
        say=(
            "With **mmap** the model file is mapped instead of read: loading is fast, pages come from disk when first touched, and the system can share or drop them.",
            "**mmap** lets the operating system bring in the file page by page, and count it as file cache rather than as memory of the program. Turn it off with `mmap = false` in a preset "
            "{to read everything into private memory|if you want it all in private memory}.",
        ),
        short="The file is mapped, not read; pages load when touched.",
        why="It makes the second load instant, because the pages are still in the file cache.",
        example="A 4 GB model opens in well under a second when its pages are cached.",
    ),
    topic(
        "repack",
        "repack; repacking; repacked weights",
        ask=("why does the model use twice the memory", "what are repacked weights", "what does repack do"),
        say=(
            "**Repack** lets the CPU backend keep a rearranged copy of the weights: faster prefill, but up to twice the memory. Set `repack = false` when memory is tight.",
            "With `repack` on, weights are rearranged for the CPU's vector units. Prefill gets faster; the price is a second copy in **memory**.",
        ),
        short="A rearranged copy of the weights: faster prefill, more memory.",
        why="Because the CPU's wide instructions like several rows next to each other.",
    ),
    topic(
        "swap",
        "swap; swapping; page faults; running out of memory; out of memory",
        ask=(
            "is swapping bad",
            "why is my disk busy while it answers",
            "what if i have not enough ram",
            "my ram is full",
            "what happens without enough memory",
            "it runs out of memory",
        ),
        say=(
            "When memory runs out the machine **swaps**, and speed falls to a crawl, because each token reads all weights. Take a smaller quant, a smaller `n_ctx`, or an 8-bit KV cache.",
            "Too little **memory** means pages come from disk for every token: minutes instead of seconds. Use a smaller model or quant, or reduce `n_ctx`.",
        ),
        short="Out of memory means crawling; take a smaller quant or context.",
        why="A disk is ten to a hundred times slower than RAM, and all weights are needed for each token.",
    ),
    topic(
        "model-memory",
        "",
        ask=(
            "how much memory does a model need",
            "how much ram do i need",
            "how much ram for a 7b model",
            "will a 7b model fit into 8 gb",
            "what model fits my machine",
            "which model size can i run",
            "memory for a 13b model",
            "how large is a 7b model",
            "ram requirements",
            "how do i estimate the memory",
            "can i run a 70b model",
        ),
        say=(
            "Memory needed is about the file size plus the KV cache plus a little for computing. A 7B model at Q4_K_M is about **4.4 GB**; Q8_0 is about 7.7 GB.",
            "Rule of thumb: parameters × bits per weight / 8, plus the KV cache. So 7 billion at 4.8 bits is about **4.2 GB**, and 8 GB of RAM is enough for it.",
        ),
        short="File size plus KV cache plus a few hundred MB.",
        why="Because all weights must be in memory to be read for each token.",
        example="| model | Q4_K_M | Q8_0 |\n| --- | --- | --- |\n| 1B | 0.8 GB | 1.3 GB |\n| 7B | 4.4 GB | 7.7 GB |\n| 13B | 7.9 GB | 13.8 GB |",
        weight=1.3,
    ),
    topic(
        "parameters",
        "parameters; 7b; 8b; the number of parameters; weights; model weights",
        ask=(
            "what does 7b mean",
            "what does the b in 7b mean",
            "are more parameters better",
            "what does 0.6b mean",
            "how many parameters does a model have",
        ),
        say=(
            "**Parameters** are the numbers a model has learned; 7B means seven billion of them. More parameters know more but need more memory and are slower.",
            "The B stands for billion **parameters**, the learned weights. Speed on a CPU falls in proportion: a 7B model is about seven times slower than a 1B one.",
        ),
        short="The learned numbers of a model; 7B is seven billion.",
        why="Because every one of them is read for each token.",
    ),
    topic(
        "flash-attention",
        "flash attention; flash_attn; flash-attention; fa",
        ask=("should i turn on flash attention", "does flash attention help on a cpu"),
        say=(
            "**Flash attention** computes attention in one fused pass that needs less memory. In xchat `flash_attn` is `auto`, `on` or `off`; a quantized V cache needs it.",
            "It is a fused way to compute attention with less memory traffic. Leave `flash_attn` on **auto**; changing it rebuilds the context.",
        ),
        short="Fused attention with less memory traffic.",
        why="Because it never writes the large table of attention weights to memory.",
    ),
    topic(
        "moe",
        "moe; mixture of experts; a mixture of experts model; active parameters",
        ask=("why is a 30b-a3b model fast", "what does a3b mean"),
        say=(
            "A **mixture of experts** has many expert blocks but uses only a few for each token. It needs the memory of all of them but reads only the active ones, so it is fast for its size.",
            "**MoE** models route each token to a few experts. 30B-A3B means 30 billion parameters in memory and 3 billion active per token.",
        ),
        short="Many experts in memory, a few read per token.",
    ),
    topic(
        "gpu",
        "a gpu; gpu; cuda; gpu offload",
        ask=("do i need a gpu", "can i use my graphics card", "does xchat work without a gpu", "does it use the gpu", "is a cpu enough"),
        say=(
            "No **GPU** is needed: xchat is made for CPU boxes. Small models at Q4_K_M run well on a few cores; memory bandwidth sets the speed.",
            "xchat runs on the **CPU**. That is enough for models up to about 8B parameters if the memory is fast; a GPU would be quicker.",
        ),
        short="Not needed; the CPU does it.",
        why="A GPU is faster because its memory bandwidth is about ten times that of normal RAM.",
    ),
)

QUANTS: tuple[Topic, ...] = (
    topic(
        "quant",
        "a quant; quants; quantization; quantisation; quantized models; quant types; quantizing",
        ask=(
            "why are there so many versions of a model",
            "what do the letters and numbers like q4 mean",
            "does quantization make the model worse",
            "how do quants differ",
        ),
        say=(
            "A **quant** is a copy of a model with its weights stored in fewer bits. Fewer bits mean a smaller file and faster decode, and a little less quality. **Q4_K_M** is the usual choice.",
            "**Quantization** rounds the weights to fewer bits: 16 for F16, about 8.5 for Q8_0, about 4.8 for Q4_K_M. Speed grows as the file shrinks, quality drops slowly until about 4 bits.",
        ),
        short="The same model in fewer bits per weight.",
        why="Because decode speed depends on how many bytes each token has to read.",
        example="A 7B model: 14 GB as F16, 7.7 GB as Q8_0, 4.4 GB as Q4_K_M.",
        more="In xchat **${key:previous_quant}** takes the next larger quant of the model in use, **${key:next_quant}** the next smaller one.",
        weight=1.3,
    ),
    topic(
        "which-quant",
        "",
        ask=(
            "which quant should i use",
            "what quant is best",
            "best quant",
            "which quantization do you recommend",
            "q4 or q8",
            "what quant for 8 gb of ram",
            "recommend a quant",
            "which quant is the fastest",
            "which quant should i choose",
            "q4_k_m or q5_k_m",
            "is q4 good enough",
            "should i take q4 or q6",
            "what quant do i need",
        ),
        say=(
            "Start with **Q4_K_M**: a good balance of size, speed and quality. Take Q5_K_M or Q6_K if memory allows, Q8_0 if quality comes first, and Q2_K only when nothing else fits.",
            "**Q4_K_M** for most people. If it fits easily, Q6_K is close to the original; Q2_K is the last resort{ and visibly worse|}.",
        ),
        short="Q4_K_M, or Q6_K if memory allows.",
        why="Because below about 4 bits the quality falls quickly, and above 6 bits you hardly notice the difference.",
        weight=1.4,
    ),
    topic(
        "quant-table",
        "",
        ask=(
            "list the quants",
            "give me a table of quants",
            "compare the quants",
            "table of quant sizes",
            "show me all quants",
            "an overview of the quants",
            "which quants are there",
            "quant comparison",
        ),
        say=(
            "| quant | bits per weight | use |\n| --- | --- | --- |\n| F16 | 16 | the original |\n| Q8_0 | 8.5 | nearly lossless |\n| Q6_K | 6.6 | very close |\n"
            "| Q5_K_M | 5.7 | good |\n| Q4_K_M | 4.8 | the usual choice |\n| Q2_K | 2.6 to 3 | last resort |",
        ),
        short="F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q2_K, from largest to smallest.",
        why="Because different machines have different memory, and fewer bits are smaller and faster.",
    ),
    topic(
        "q8-0",
        "Q8_0; q8_0; q8; 8-bit quants",
        ask=("is q8_0 lossless", "how good is q8", "when should i use q8_0"),
        say=(
            "**Q8_0** stores about 8.5 bits per weight. It is nearly lossless and half the size of F16{, but almost twice as large as Q4_K_M|}.",
            "Q8_0 is the 8-bit quant: **8.5** bits per weight with its scales, practically the quality of the original. Slower than Q4_K_M, because each token reads almost twice the bytes.",
        ),
        short="8.5 bits per weight, nearly lossless.",
        why="Each block of 32 weights keeps 8-bit values and one 16-bit scale: that makes 8.5 bits.",
    ),
    topic(
        "q6-k",
        "Q6_K; q6_k; q6; 6-bit quants",
        ask=("how good is q6_k", "is q6_k better than q5"),
        say=(
            "**Q6_K** stores about 6.6 bits per weight. It is very close to the original and a good choice when memory allows.",
            "Q6_K is a K-quant with about **6.6** bits per weight: smaller than Q8_0 and hardly any worse.",
        ),
        short="6.6 bits per weight, very close to the original.",
    ),
    topic(
        "q5-k-m",
        "Q5_K_M; q5_k_m; q5; 5-bit quants",
        ask=("how good is q5_k_m",),
        say=(
            "**Q5_K_M** stores about 5.7 bits per weight: a little larger and a little better than Q4_K_M.",
            "Q5_K_M is the step between Q4_K_M and Q6_K, with about **5.7** bits per weight. Take it if it still fits.",
        ),
        short="5.7 bits per weight, a step above Q4_K_M.",
    ),
    topic(
        "q4-k-m",
        "Q4_K_M; q4_k_m; q4km; q4; 4-bit quants",
        ask=("why is q4_k_m so popular", "what does the m in q4_k_m mean", "what does k_m mean", "how good is q4_k_m"),
        say=(
            "**Q4_K_M** stores about 4.8 bits per weight. It is the usual choice: a third of the size of F16, about three times as fast, and a small loss of quality.",
            "Q4_K_M: about 4 bits, K-quant, *medium* mix, which keeps some tensors in more bits. That makes **4.8** bits per weight on average, the best balance for most machines.",
        ),
        short="4.8 bits per weight, the usual choice.",
        why="Because it keeps the sensitive tensors in more bits, so it loses little for its size.",
        example="A 7B model as Q4_K_M is a file of about 4.4 GB.",
    ),
    topic(
        "q3-k",
        "Q3_K_M; q3_k_m; q3; 3-bit quants",
        ask=("how good is q3",),
        say=(
            "**Q3_K_M** stores about 3.9 bits per weight. Smaller than Q4_K_M but noticeably worse; take it only if Q4_K_M does not fit.",
            "Q3_K_M has about **3.9** bits per weight. The loss is visible, so prefer Q4_K_M when memory allows.",
        ),
        short="3.9 bits per weight, noticeably worse than Q4_K_M.",
    ),
    topic(
        "q2-k",
        "Q2_K; q2_k; q2; 2-bit quants",
        ask=("how bad is q2_k", "should i use q2_k", "is q2 usable"),
        say=(
            "**Q2_K** stores about 2.6 to 3 bits per weight. The smallest and fastest of the usual quants, and clearly worse; small models suffer most. A last resort.",
            "Q2_K is the smallest common quant, **2.6** to 3 bits per weight. Use it only when nothing larger fits: answers get visibly worse.",
        ),
        short="About 2.6 bits per weight, the last resort.",
        why="Because four values per weight are too few to keep the finer differences.",
    ),
    topic(
        "f16",
        "F16; f16; fp16; bf16; half precision; BF16",
        ask=("is f16 better than q8", "what is the difference between f16 and bf16", "should i use f16"),
        say=(
            "**F16** keeps 16 bits per weight: the original quality, the largest file, the slowest decode. It is what quants are made from. My own file is F16.",
            "F16 and BF16 are **16-bit** floating point formats. BF16 has the wider range, F16 the finer steps. For chatting a quant is faster and nearly as good.",
        ),
        short="16 bits per weight, the unquantized file.",
    ),
    topic(
        "bpw",
        "bits per weight; bpw; bits/weight",
        ask=("how many bits does a weight have", "how do i compute bits per weight", "how many bits per weight has q4_k_m"),
        say=(
            "**Bits per weight** is 8 × file size in bytes ÷ number of weights. Q8_0 has 8.5, Q6_K 6.6, Q5_K_M 5.7, Q4_K_M 4.8, Q2_K about 2.6 to 3.",
            "It tells how tightly a quant packs: total **bits** divided by the number of weights, scales included. So Q4_K_M has about 4.8 and not 4.",
        ),
        short="File size in bits divided by the number of weights.",
        why="Scales and some tensors in higher precision add to the plain number of bits.",
        example="4.4 GB for 7.2 billion weights: 8 × 4.4 / 7.2 = 4.9 bits per weight.",
    ),
    topic(
        "perplexity",
        "perplexity; ppl",
        ask=("how is the quality of a quant measured", "how do i measure quality"),
        say=(
            "**Perplexity** measures how surprised a model is by a text: lower is better. Compare quants of the same model with it, not different models.",
            "It is the usual quality figure for quants: the **lower** the perplexity on the same text, the closer to the original.",
        ),
        short="How surprised the model is by a text; lower is better.",
    ),
    topic(
        "quantize",
        "",
        ask=(
            "how do i make a quant",
            "how do i quantize a model",
            "can xchat quantize a model",
            "how to make my own quant",
            "can i convert f16 to q4",
            "can i requantize a q4 file",
        ),
        say=(
            "Make quants from an F16 or BF16 file, not from an already **quantized** one: rounding twice loses quality. xchat quantizes in a separate process, so the chat goes on.",
            "xchat can **quantize** a GGUF for you: it reads the F16 file and writes the smaller one beside it. Do not start from a quant if you can avoid it.",
        ),
        short="From the F16 file, never from another quant.",
        why="Because the second rounding works on numbers that the first already bent.",
    ),
)

THREADS: tuple[Topic, ...] = (
    topic(
        "threads",
        "threads; n_threads; the threads setting; thread count; number of threads",
        ask=(
            "how many threads should i use",
            "what is the best number of threads",
            "how many threads",
            "how do i set the threads",
            "should threads equal cores",
            "what should i set threads to",
            "best thread count",
            "how many cores does it use",
            "optimal threads",
            "thread setting for 8 cores",
        ),
        say=(
            "Set **threads** to the number of physical cores, or leave it on `auto`. More threads than that rarely help decode, because memory bandwidth is the limit.",
            "`threads` is how many CPU **threads** decode. Physical cores is a good start; on a shared machine one fewer is often faster. With `auto` xchat finds the number itself.",
        ),
        short="Physical cores, or `auto`.",
        why="Because all threads wait for the slowest one at every step, and memory bandwidth is shared.",
        example="Four cores with eight hyper-threads: start with `threads = 4`.",
        more="**${key:more_threads}** adds a thread and **${key:fewer_threads}** takes one away; it applies to the next token, nothing is reloaded.",
        weight=1.5,
    ),
    topic(
        "more-threads",
        "",
        ask=(
            "do more threads help",
            "and with more threads",
            "what if i use more threads",
            "are more threads faster",
            "why do more threads make it slower",
            "can i use all cores",
            "what about twice as many threads",
            "more threads",
            "too many threads",
            "should i use every core",
            "would more threads be faster",
        ),
        say=(
            "**More threads** help until the physical cores are used; after that decode gets slower, because threads share cores and wait for each other at every step.",
            "Only up to the physical cores. Beyond that, **more threads** fight for the same cores and the same memory bandwidth, and tokens/s drops.",
        ),
        short="Only up to the physical cores.",
        why="Because after each layer all threads wait for the slowest one.",
        weight=1.2,
    ),
    topic(
        "fewer-threads",
        "",
        ask=(
            "and with fewer threads",
            "what if i use fewer threads",
            "are fewer threads slower",
            "what about fewer threads",
            "can fewer threads be faster",
            "fewer threads",
            "what happens with less threads",
            "with two threads less",
            "and with one thread",
            "would fewer threads help",
            "should i lower the threads",
        ),
        say=(
            "With **fewer threads** decode often stays nearly as fast, since memory bandwidth is the limit, and prefill gets slower. On a busy machine fewer threads can be faster.",
            "Prefill slows down, decode hardly. If another program is busy, **fewer threads** are often the faster choice: one slow thread holds up all the others.",
        ),
        short="Decode hardly changes, prefill slows down.",
        why="Because a thread that has to share its core makes all the others wait.",
        weight=1.2,
    ),
    topic(
        "threads-batch",
        "threads_batch; batch threads; n_threads_batch",
        ask=("how many threads for prefill", "what is the difference between threads and threads_batch", "threads for the prompt"),
        say=(
            "`threads_batch` is the number of threads for **prefill**; `threads` is for decode. Prefill is bound by arithmetic, so it can use all cores.",
            "It sets how many threads read the prompt. **Prefill** gains from every core, hyper-threads sometimes included, so it may be higher than `threads`.",
        ),
        short="Threads for prefill.",
        why="Because prefill is limited by arithmetic and not by memory.",
    ),
    topic(
        "hyper-threads",
        "hyper-threads; hyper-threading; hyperthreading; smt; logical cores",
        ask=("should i count hyper-threads", "do hyper-threads help", "physical or logical cores", "is hyperthreading good for this"),
        say=(
            "**Hyper-threads** share one physical core. For decode they bring nothing or cost speed; count physical cores only. Prefill gains a little at times.",
            "Count physical cores, not **hyper-threads**: two of them on one core share its units and its cache, so decode does not get faster.",
        ),
        short="Count physical cores only.",
        why="Because two hyper-threads share the units that do the arithmetic.",
    ),
    topic(
        "governor",
        "the thread governor; threads auto; auto threads; threads = auto",
        ask=("how does xchat choose the threads", "can xchat find the best threads itself", "how does auto find the number of threads"),
        say=(
            "With `threads = auto` the **governor** watches the time per token, tries neighbouring thread counts for a few tokens, and keeps the fastest. It reacts when the machine gets busy.",
            "The thread **governor** measures while you chat: a few tokens with one thread more or fewer, then it settles. Changing threads is free, so probing costs next to nothing.",
        ),
        short="It measures and picks the fastest thread count.",
        why="Because the best number depends on what else the machine is doing right now.",
    ),
    topic(
        "n-batch",
        "n_batch; the prompt batch; logical batch size",
        ask=("what should n_batch be", "what is the default of n_batch", "how large should n_batch be"),
        say=(
            "**n_batch** is the most prompt tokens handed to one decode call, 512 by default. It matters for prefill only, not for the speed of the answer.",
            "It limits how many prompt tokens go into one call; the default is **512**. `n_ubatch` is the part of it that is computed at once.",
        ),
        short="Most prompt tokens per call; 512 by default.",
    ),
    topic(
        "n-ubatch",
        "n_ubatch; ubatch; micro batch; physical batch size",
        ask=("what should n_ubatch be", "n_batch vs n_ubatch", "what is the difference between n_batch and n_ubatch"),
        say=(
            "**n_ubatch** is the most tokens in one compute graph. Larger prefills faster and needs more memory; smaller can be stopped sooner.",
            "n_batch is what one call takes, **n_ubatch** what is computed at once. Raise it for faster prefill, lower it to save memory{ and to stop sooner|}.",
        ),
        short="Tokens computed at once during prefill.",
    ),
    topic(
        "batch-size",
        "batch size; batch sizes; the batch; batch",
        ask=("which batch sizes are there", "what is the best batch size", "does a larger batch help", "how do the batch sizes differ"),
        say=(
            "There are three: `n_batch`, prompt tokens per call; `n_ubatch`, tokens computed at once; and **stream_batch**, tokens that travel together to the screen.",
            "Two are about prefill, `n_batch` and `n_ubatch`. The third, **stream_batch**, is how many tokens are painted at a time{, from one to 256|}.",
        ),
        short="n_batch and n_ubatch for prefill, stream_batch for the screen.",
    ),
    topic(
        "cpu-usage",
        "cpu usage; cpu load",
        ask=("why is my cpu at 100 %", "why is the cpu so busy", "is it normal that all cores are busy", "why does my fan spin"),
        say=(
            "A busy **CPU** is normal while the model answers: every thread computes or waits actively for the others. To keep the machine responsive, use fewer threads.",
            "All decode threads run at full load, so 100 % is expected. Lower `threads` by one if other programs need **CPU** time; speed hardly changes.",
        ),
        short="Normal while it answers; lower threads to leave room.",
    ),
)

SAMPLING: tuple[Topic, ...] = (
    topic(
        "temperature",
        "temperature; temp; the temperature; sampling temperature",
        ask=(
            "how do i make answers more creative",
            "how do i make the answers less random",
            "what temperature should i use",
            "how do i get the same answer each time",
            "what does temperature 0 mean",
            "which temperature for facts",
            "temperature 0",
            "how random is the answer",
            "how to make it more creative",
        ),
        say=(
            "**Temperature** sets how adventurous the choice of the next token is. 0 always takes the most likely one; 0.7 is xchat's default; above 1 it gets wild.",
            "Low **temperature** gives sober, repeatable answers, high temperature surprising ones. 0 is greedy, 0.7 the default; try 0.2 for facts and 1.0 for stories.",
        ),
        short="How adventurous the choice is; 0 is greedy.",
        why="The logits are divided by it before they become probabilities, so small values make the likely ones stand out.",
        example='`xchat ask --temp 0 "What is TTFT?"` answers the same each time.',
        weight=1.3,
    ),
    topic(
        "top-k",
        "top_k; top-k; top k; topk",
        ask=("what should top_k be", "what is the default top_k"),
        say=(
            "**top_k** keeps only the k most likely tokens before one is drawn. The default is 40; 0 keeps all of them.",
            "With top_k = 40 the next token is drawn among the **40** most likely. Smaller is safer, 0 switches it off.",
        ),
        short="Keep the k most likely tokens; 40 by default.",
        why="It cuts the long tail of unlikely tokens that would derail the text.",
    ),
    topic(
        "top-p",
        "top_p; top-p; top p; nucleus sampling; topp",
        ask=("what should top_p be", "what is the default top_p"),
        say=(
            "**top_p** keeps the smallest set of tokens whose probabilities sum to p. The default is 0.95; 1 keeps all.",
            "Also called nucleus sampling: only the likeliest tokens that together reach p stay in the draw, **0.95** by default.",
        ),
        short="Keep the likeliest tokens that sum to p; 0.95 by default.",
        why="So that a sure next token stays alone and an open choice keeps many.",
    ),
    topic(
        "min-p",
        "min_p; min-p; min p; minp",
        ask=("what should min_p be", "what is the default min_p"),
        say=(
            "**min_p** drops tokens less likely than a share of the most likely one. The default is 0.05, so 5 %; 0 drops none.",
            "With min_p = **0.05** a token stays only if it is at least 5 % as likely as the best one. It adapts to how sure the model is.",
        ),
        short="Drop tokens below 5 % of the best one.",
        why="When the model is sure, little else passes; when it is not, many tokens do.",
    ),
    topic(
        "repeat-penalty",
        "repeat_penalty; the repeat penalty; repetition penalty; repeat_last_n",
        ask=("how do i stop it from repeating itself", "the model repeats itself", "it loops", "why does it repeat the same sentence"),
        say=(
            "**repeat_penalty** makes recent tokens less likely; 1 is off, which is the default. Try 1.1 if a model repeats itself. `repeat_last_n` says how many tokens it looks back.",
            "If a model loops, raise the temperature a little or set **repeat_penalty** to 1.1. Much more hurts, since words such as *the* must repeat.",
        ),
        short="Makes recent tokens less likely; 1 is off.",
    ),
    topic(
        "seed",
        "seed; a seed; random seed",
        ask=(
            "how do i get the same answer again",
            "how do i make answers reproducible",
            "is it deterministic",
            "why are two answers to the same question different",
        ),
        say=(
            "The **seed** starts the random draw of tokens. The same seed, prompt and settings give the same answer; without one, each turn draws a fresh seed.",
            "Fix the **seed** to repeat an answer exactly: same prompt, same settings, same seed. At temperature 0 it plays no role.",
        ),
        short="Fix it to get the same answer again.",
        example='`xchat ask --seed 7 "Tell me a joke"` tells the same joke each time.',
    ),
    topic(
        "greedy",
        "greedy; greedy sampling; greedy decoding",
        ask=("when should i use greedy", "is greedy faster"),
        say=(
            "**Greedy** decoding always takes the most likely token: temperature 0. It is repeatable, but can loop with weak models.",
            "It means no dice: the most likely token each time. Set the **temperature** to 0 for it.",
        ),
        short="Always the most likely token, temperature 0.",
    ),
    topic(
        "sampling",
        "sampling; the sampler; sampling settings; samplers",
        ask=(
            "how is the next token chosen",
            "how does the model pick a word",
            "which sampling settings are there",
            "what are the default sampling settings",
        ),
        say=(
            "**Sampling** picks the next token from the model's probabilities. xchat's defaults: temperature 0.7, top_k 40, top_p 0.95, min_p 0.05, repeat penalty off.",
            "First unlikely tokens are dropped (**top_k**, top_p, min_p), then one is drawn, more or less boldly as the temperature says.",
        ),
        short="Picking the next token by probability.",
        example="```toml\n[sampling]\ntemperature = 0.2\ntop_k = 20\nseed = 7\n```",
    ),
    topic(
        "logits",
        "logits; a logit; softmax",
        ask=("what does the model put out",),
        say=(
            "**Logits** are the raw scores a model gives to every token of its vocabulary. Softmax turns them into probabilities, and sampling picks one.",
            "For each step the model gives one score per token, the **logits**. Divided by the temperature and passed through softmax they become probabilities.",
        ),
        short="Raw scores for every token.",
    ),
    topic(
        "stop-strings",
        "stop strings; a stop string; eog; the end token; end of generation; eos; the eos token",
        ask=("how does the model know when to stop", "why does an answer end", "when does an answer end", "what ends an answer"),
        say=(
            "An answer ends when the model gives its **end** token (EOG), when a stop string comes up, when `max_tokens` is reached, or when you press **${key:stop}**.",
            "The model itself says when it is done, with an **end** of generation token. A stop string, `max_tokens` or **${key:stop}** also end it.",
        ),
        short="The end token, a stop string, max_tokens, or you.",
    ),
    topic(
        "max-tokens",
        "max_tokens; n_predict; the longest answer",
        ask=(
            "how do i limit the length of answers",
            "can i make answers shorter in general",
            "why was the answer cut off",
            "the answer was cut off",
            "limit the answer length",
        ),
        say=(
            "`max_tokens` is the longest answer allowed, in tokens; without it the model ends by itself. If an answer was cut off, **${key:continue_answer}** lets it go on.",
            "Set `max_tokens` in the preset, or `-n` for `xchat ask`. An answer that was cut can be continued with **${key:continue_answer}**.",
        ),
        short="The longest answer, in tokens.",
    ),
)

FILES: tuple[Topic, ...] = (
    topic(
        "gguf",
        "gguf; a gguf file; the gguf format; .gguf; gguf files",
        ask=(
            "which file format does xchat read",
            "what files can i load",
            "which models can i use",
            "what kind of model file do i need",
            "can i load safetensors",
            "can i use pytorch models",
        ),
        say=(
            "**GGUF** is llama.cpp's model format: weights, tokenizer, chat template and metadata in one file. Open one with `xchat MODEL.gguf` or **${key:models}**.",
            "A **GGUF** file holds everything a model needs in a single file, often quantized. xchat reads GGUF and nothing else; safetensors must be converted first.",
        ),
        short="llama.cpp's single-file model format.",
        why="Because llama.cpp, the engine inside xchat, reads only that.",
        example="```\nxchat ~/models/some-model-Q4_K_M.gguf\n```",
        weight=1.2,
    ),
    topic(
        "get-model",
        "",
        ask=(
            "where do i get models",
            "how do i download a model",
            "where can i find a gguf",
            "which model should i use",
            "recommend a model",
            "how do i get a real model",
            "what model do you recommend",
            "where are models stored",
            "how do i get a better model",
            "can you download a model",
            "good models for a cpu",
            "which model is good for a small machine",
        ),
        say=(
            "Look for **GGUF** files on Hugging Face; a 1B to 4B model at Q4_K_M is a good start on a CPU. Then run `xchat MODEL.gguf`, or pick it with **${key:models}**.",
            "Download a **GGUF** (Hugging Face has thousands) and open it with `xchat MODEL.gguf`. With 8 GB of RAM a 4B model at Q4_K_M is comfortable; **${key:models}** lists what is on this machine.",
        ),
        short="GGUF files from Hugging Face; open with `xchat MODEL.gguf`.",
        weight=1.3,
    ),
    topic(
        "llama-cpp",
        "llama.cpp; llama cpp; llamacpp; llama-cpp-python; the engine",
        ask=("which engine does xchat use", "what runs the model", "what is inside xchat", "is there a server behind it"),
        say=(
            "**llama.cpp** is the C++ library that runs GGUF models on ordinary CPUs. xchat has it in its own process, through llama-cpp-python; no server is needed.",
            "xchat's engine is **llama.cpp**, loaded in the same process. So there is no server, no port, and the timestamps of each token are exact.",
        ),
        short="The library that runs the model, inside xchat.",
    ),
    topic(
        "chat-template",
        "a chat template; chat template; chat templates; chatml; the template; prompt template; jinja template",
        ask=(
            "how is the conversation turned into a prompt",
            "how does the model know who speaks",
            "why does a model need a template",
            "what if a model has no template",
        ),
        say=(
            "A **chat template** turns the messages into the one text a model was trained on, with marks for who speaks. It comes inside the GGUF; **${key:show_prompt}** shows the result.",
            "It is a small Jinja program in the GGUF that writes the conversation with control tokens, in ChatML for example. See the finished **prompt** with **${key:show_prompt}**.",
        ),
        short="It turns messages into the prompt text.",
        why="Because a model only continues text, it needs marks that tell where each message begins and ends.",
        example="In ChatML a message begins with a start mark and the role, and ends with an end mark.",
    ),
    topic(
        "system-prompt",
        "the system prompt; system prompt; a system message; system message",
        ask=(
            "how do i set a system prompt",
            "how do i give the model instructions",
            "how do i give the model a role",
            "can i change the system prompt",
            "where do i put instructions",
        ),
        say=(
            "The **system prompt** comes before the conversation and tells the model how to behave. Set `system` in a preset, or `xchat ask --system TEXT`.",
            "Put standing instructions into `system` of a preset: it is sent as the first message. For one question, `xchat ask` takes `--system`.",
        ),
        short="Instructions before the conversation; `system` in a preset.",
        example='```toml\nsystem = "Answer in one sentence."\n```',
    ),
    topic(
        "thinking",
        "thinking; reasoning; thinking blocks; thinking models; a think block",
        ask=(
            "how do i hide the thinking",
            "how do i turn off thinking",
            "why does the model think first",
            "can i see what the model thinks",
            "how do i see the reasoning",
            "do thinking tokens count",
        ),
        say=(
            'Some models **think** before they answer. xchat keeps that text apart and folded; **${key:toggle_thinking}** unfolds it. `thinking = "off"` in a preset asks the model not to.',
            "**Thinking** is text a model writes for itself before the answer. It counts as generated tokens. Fold or unfold it with **${key:toggle_thinking}**.",
        ),
        short="Text before the answer; **${key:toggle_thinking}** folds it.",
        why="Because working through the steps first gives better answers, at the price of time.",
    ),
    topic(
        "tokenizer",
        "a tokenizer; the tokenizer; bpe; byte pair encoding; tokenizing; tokenization",
        ask=("how is text cut into tokens", "who makes the tokens"),
        say=(
            "A **tokenizer** cuts text into tokens and joins them again. Most use byte pair encoding: frequent pairs of pieces are merged until the vocabulary is full.",
            "It translates between text and token numbers. Mine is a byte-level **BPE** with about 4,000 entries; large models have 30,000 to 250,000.",
        ),
        short="It cuts text into tokens.",
    ),
    topic(
        "vocabulary",
        "the vocabulary; vocabulary; vocab; vocab size",
        ask=("how many tokens does a model know",),
        say=(
            "The **vocabulary** is the fixed list of tokens a model knows. Mine has about 4,000 entries, large models have 30,000 to 250,000.",
            "All tokens a model can read and write, in one list. A larger **vocabulary** makes texts shorter in tokens but the output layer bigger.",
        ),
        short="The list of tokens a model knows.",
    ),
    topic(
        "transformer",
        "a transformer; transformers; a language model; an llm; llm; language models; large language model",
        ask=("how does a language model work", "how do llms work", "how does it know the next word"),
        say=(
            "A **language model** guesses the next token from all tokens before it, again and again. A transformer does that with layers of attention and feed-forward blocks.",
            "It reads tokens, mixes them through layers of attention, and gives a probability to every possible **next** token. One is picked, appended, and the game repeats.",
        ),
        short="It predicts the next token, again and again.",
    ),
    topic(
        "attention",
        "attention; an attention head; self-attention; heads",
        ask=("how does attention work",),
        say=(
            "**Attention** lets each token look back at earlier ones and take over what matters. Keys say what a token offers, queries what it looks for, values what it hands over.",
            "In **attention** every token compares its query with the keys of all earlier tokens and mixes their values. Those keys and values are what the KV cache keeps.",
        ),
        short="Each token looks back at earlier ones.",
    ),
    topic(
        "layers",
        "layers; a layer; blocks",
        ask=("how many layers does a model have",),
        say=(
            "A **layer** is one block of attention and feed-forward. A token passes all of them in order; I have 6, a 7B model has about 32.",
            "Models stack **layers**: each one refines what the last one made of the tokens. Small models have a few, large ones 80 or more.",
        ),
        short="One block of attention and feed-forward.",
    ),
    topic(
        "embedding",
        "embeddings; an embedding; token embeddings",
        ask=("how are tokens turned into numbers",),
        say=(
            "An **embedding** is the list of numbers that stands for a token inside the model. Mine have 256 numbers each.",
            "Each token is looked up in a table of vectors, its **embedding**; all further work is done on those numbers.",
        ),
        short="The vector that stands for a token.",
    ),
    topic(
        "ollama",
        "ollama; lm studio; hugging face; huggingface",
        ask=(
            "can i use my ollama models",
            "does xchat find my lm studio models",
            "can i use models from hugging face",
            "where does xchat look for models",
        ),
        say=(
            "xchat looks for **GGUF** files in its own folder and in the folders of Ollama, LM Studio and the Hugging Face cache. Press **${key:models}** to pick one.",
            "Models of Ollama, LM Studio and Hugging Face are plain **GGUF** files on disk. **${key:models}** lists what xchat finds, or you type a path there.",
        ),
        short="They are found through **${key:models}**.",
    ),
    topic(
        "lora",
        "a lora; lora; adapters; fine-tuning; finetuning; training",
        ask=("can i train a model with xchat", "can xchat fine-tune a model"),
        say=(
            "xchat does not **train** models; it runs them. Fine-tuning and LoRA adapters are made with other tools and then turned into a GGUF.",
            "**Training** is not part of xchat. Make the model elsewhere, convert it to GGUF, and chat with it here.",
        ),
        short="xchat runs models, it does not train them.",
    ),
    topic(
        "hallucination",
        "hallucination; hallucinations; a hallucination",
        ask=("why do models make things up", "can i trust the answers", "are the answers true"),
        say=(
            "A **hallucination** is a fluent answer that is wrong. Models predict likely text, not truth, so check what matters. Small ones, me included, err more often.",
            "Models write what sounds likely, and that is not always **true**. Check facts elsewhere; a larger model errs less but never nowhere.",
        ),
        short="A fluent answer that is wrong.",
    ),
)

TRADE: tuple[Topic, ...] = SPEED + MEMORY + QUANTS + THREADS + SAMPLING + FILES
"""Every topic of the trade."""
