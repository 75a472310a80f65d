unit_TESTS := \
	test_config
