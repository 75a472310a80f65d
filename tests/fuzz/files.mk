# Readers of what others wrote, fuzzed: tests/fuzz/fuzz_NAME.c, its seeds in tests/fuzz/corpus/NAME/.
fuzz_SUPPORT := tests/fuzz/fuzz.c

fuzz_TARGETS := \
	archive \
	control \
	cron \
	http_response \
	json \
	manifest \
	metric_lines \
	numpy \
	pickle \
	redis_url \
	s3_xml \
	safetensors \
	tar \
	torch \
	torch_legacy \
	transcript \
	yaml
