unit_TESTS := \
	test_child \
	test_config \
	test_http_guard
