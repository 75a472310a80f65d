scheduler_SOURCES :=
