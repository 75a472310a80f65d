unit_TESTS := \
	test_config \
	test_http_guard
