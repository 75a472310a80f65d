bench_LOAD := \
	scripts/bench/load.c \
	scripts/bench/load_enqueue.c \
	scripts/bench/load_drain.c \
	scripts/bench/load_latency.c
