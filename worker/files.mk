worker_SOURCES :=
