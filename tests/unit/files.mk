# What tests of real servers use.
test_TOOLS := chaos_job simulated_training store suspect verdict

# What several tests use.
unit_SUPPORT := \
	tests/unit/attempt.c \
	tests/unit/certificates.c \
	tests/unit/folder.c \
	tests/unit/jobs_fixture.c \
	tests/unit/redis_server.c \
	tests/unit/zips.c

unit_TESTS := \
	test_address \
	test_backend_tinygrad \
	test_blank \
	test_breaker \
	test_checkpoint_faults \
	test_checkpoint_removal \
	test_checkpoints \
	test_cache \
	test_child \
	test_cli_entries \
	test_cli_text \
	test_cli_words \
	test_code \
	test_compress \
	test_config \
	test_control \
	test_death \
	test_cron \
	test_cron_scan \
	test_detect \
	test_doctor \
	test_explain \
	test_feed \
	test_fields \
	test_format_folders \
	test_formats \
	test_functions \
	test_gc \
	test_given \
	test_goodput \
	test_graph \
	test_http_accept \
	test_http_guard \
	test_http_response \
	test_landlock \
	test_ignore \
	test_metric_lines \
	test_jobs \
	test_jobs_answers \
	test_jobs_edges \
	test_jobs_run \
	test_jobs_schedules \
	test_names \
	test_output \
	test_pickle \
	test_place \
	test_points \
	test_progress \
	test_prometheus \
	test_proof \
	test_redis \
	test_redis_faults \
	test_redis_lookup \
	test_redis_pubsub \
	test_redis_tls \
	test_redis_url \
	test_restore \
	test_result \
	test_retry_rules \
	test_run \
	test_s3_sign \
	test_ship \
	test_s3_xml \
	test_schedule \
	test_sent \
	test_shape \
	test_spec \
	test_stacks \
	test_stall \
	test_state \
	test_store \
	test_sweep \
	test_tarball \
	test_tarball_tricks \
	test_units \
	test_watch \
	test_webhook_sign \
	test_yaml \
	test_zone
