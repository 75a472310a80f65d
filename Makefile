# stoker: one non-recursive Makefile. Each folder lists its own files in files.mk.
#
#   make             build the three programs into build/
#   make demo        install what is needed, build, and watch a run outlive kills
#   make check       install what tests need, build, lint, run every test
#   make check-long  what make check leaves to this: once more what another test tries, in longer ways
#   make check-asan  the same tests with AddressSanitizer and UBSan
#   make fuzz        the readers of what others wrote, FUZZ_SECONDS (60) each, with what breaks them
#   make chaos       10,000 jobs while everything below them breaks (docs/reliability.md); make check runs a short form
#   make mutants     puts known bugs in, one at a time: a test must catch each (MUTANTS='flag-ignored …' for these alone)
#   make faults      the n-th malloc, read, write, connect, fsync of each program fails, for thousands of n
#   make valgrind    a part of the tests of real servers under memcheck
#   make soak        an hour (SOAK_SECONDS) of jobs of every kind: what is held must stay the same
#   make coverage    which branches the tests do not reach, of the function library and of what runs jobs in C
#   make bench       the figures of docs/figures.md, measured on this machine: of a run, and of the queue
#   make bench-queue only those of the queue, beside other queues (BENCH='--quick' for a first look)
#   make bench-recovery  what a kill costs: of a runner, of a machine, of Redis (BENCH='--quick' for a first look)
#   make bench-checkpoints  only those of checkpoints, beside what others move them with
#   make lint fmt docs install clean
#
# B=dir builds elsewhere; DEV=1 (and CI) turns warnings into errors.

B       ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= cc
VERSION := $(shell cat VERSION)

PACKAGES := libevent libevent_openssl openssl hiredis jansson yaml-0.1 libcurl libarchive zlib expat libzstd
CFLAGS_PACKAGES := $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 -Wvla -Wundef -Wwrite-strings -Wswitch-enum -fno-common
ifneq ($(DEV)$(CI),)
WARN += -Werror
endif

OPTIMIZE ?= -O2 -g
HARDEN   := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fPIE
HARDEN_LD := -pie -Wl,-z,relro,-z,now
ifeq ($(shell uname -m),x86_64)
HARDEN += -fcf-protection
endif
ifneq ($(ASAN),)
HARDEN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDEN_LD := -fsanitize=address,undefined
OPTIMIZE := -O1 -g
endif
# Objects for the fuzzers (tests/fuzz/): clang's, with its sanitizers and its counting of what was reached.
ifneq ($(FUZZ),)
CC       := clang
HARDEN   := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDEN_LD := -fsanitize=address,undefined
OPTIMIZE := -O1 -g
WARN     := -w # the other builds warn
endif

# What `make coverage` counts with (tests/coverage/): gcc's own counters, and a function library that tells its branches.
ifneq ($(COVERAGE),)
# The counters are written at _exit too, and behind Landlock (dump.c), and not at an execve, which a child of vfork calls.
HARDEN   := --coverage -fprofile-abs-path -fno-builtin-execve
HARDEN_LD := --coverage -Wl,--wrap=_exit -Wl,--wrap=landlock_confine
OPTIMIZE := -O0 -g
endif

CPPFLAGS += -I. -I$(B) -D_GNU_SOURCE -DSTOKER_VERSION='"$(VERSION)"' -include lib/banned.h
CFLAGS   += -std=gnu11 $(OPTIMIZE) $(WARN) $(HARDEN) $(CFLAGS_PACKAGES)
LDFLAGS  += $(HARDEN_LD) -Wl,--as-needed

PROGRAMS := stoker-scheduler stoker-worker stoker
LAYERS   := lib queue scheduler worker cli

.PHONY: all
all: $(PROGRAMS:%=$(B)/%) trainer

include $(LAYERS:%=%/files.mk)
include lua/files.mk
include tests/unit/files.mk
include tests/fuzz/files.mk
include scripts/bench/files.mk
ifneq ($(COVERAGE),)
lib_SOURCES += tests/coverage/dump.c
$(B)/tests/coverage/dump.o: CPPFLAGS += -DCOVERAGE_FOLDER='"$(abspath $(B))"'
endif

# Each layer is one archive; a program is its main.o and the archives it may use.
define layer
$(1)_OBJECTS := $$($(1)_SOURCES:%.c=$(B)/%.o)
$(B)/$(1).a: $$($(1)_OBJECTS) $(1)/files.mk
	@rm -f $$@
	$$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))
$(B)/queue.a: $(B)/queue/library.o

LIBS_EVENT := $(shell pkg-config --libs libevent libevent_openssl openssl 2>/dev/null)
LIBS_QUEUE := $(shell pkg-config --libs hiredis jansson yaml-0.1 2>/dev/null) $(LIBS_EVENT) -lm
LIBS_OBJECTS := $(shell pkg-config --libs openssl expat zlib 2>/dev/null)
LIBS_COMPRESS := $(shell pkg-config --libs libzstd 2>/dev/null)
LIBS_STORE := $(shell pkg-config --libs libarchive 2>/dev/null) $(LIBS_COMPRESS) $(LIBS_OBJECTS)
# libcurl is loaded at run time by the first request that needs it (lib/curl_api.c): it is not linked.

$(B)/stoker-scheduler: $(B)/scheduler/main.o $(B)/scheduler.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_OBJECTS)
$(B)/stoker-worker: $(B)/worker/main.o $(B)/worker.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE)
.PHONY: trainer
trainer: $(worker_TRAINER:worker/%=$(B)/%)
$(B)/stoker-worker: | trainer
$(B)/trainer/%.py: worker/trainer/%.py
	@mkdir -p $(@D)
	cp $< $@
$(B)/stoker: $(B)/cli/main.o $(B)/cli.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_COMPRESS)

$(B)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The function library: prelude, the tables printed from C, then the functions.
$(B)/gen-lua: $(B)/scripts/gen_lua.o $(B)/queue.tables.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE)
$(B)/queue.tables.a: $(queue_TABLES:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/tables.lua: $(B)/gen-lua
	$(B)/gen-lua > $@.tmp && mv $@.tmp $@
LIBRARY_FILES := lua/prelude.lua $(B)/tables.lua $(lua_SOURCES)
LIBRARY_TEXT := cat
ifneq ($(COVERAGE),)
LIBRARY_TEXT := $(B)/python/bin/python tests/coverage/instrument.py $(B)/branches.json
$(B)/stoker.lua: tests/coverage/instrument.py
endif
$(B)/stoker.lua: $(LIBRARY_FILES) lua/VERSION
	$(LIBRARY_TEXT) $(LIBRARY_FILES) > $@.text
	sed 's/@VERSION@/'"$$(cat lua/VERSION)"'/' $@.text > $@.tmp && rm $@.text && mv $@.tmp $@
$(B)/queue/library.o: queue/library.S $(B)/stoker.lua
	@mkdir -p $(@D)
	$(CC) -I$(B) -c -o $@ $<

# The pages of docs/ that are printed from tables.
$(B)/gen-docs: $(B)/scripts/gen_docs.o $(B)/scheduler.a $(B)/worker.a $(B)/cli.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE) $(LIBS_CURL)

# What scripts/bench/queue_bench.py loads Redis and the machine with.
BENCH_TOOLS := $(B)/bench-load $(B)/bench-spawn $(B)/bench-beanstalk $(B)/bench-ship
$(B)/bench-load: $(bench_LOAD:%.c=$(B)/%.o)
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs hiredis jansson 2>/dev/null)
$(B)/bench-ship: $(B)/scripts/bench/ship.o $(B)/worker.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE)
$(B)/bench-spawn: $(B)/scripts/bench/spawn.o
	$(CC) $(LDFLAGS) -o $@ $^
$(B)/bench-beanstalk: $(B)/scripts/bench/peers/beanstalk.o
	$(CC) $(LDFLAGS) -o $@ $^

# Unit tests: one cmocka program a module.
$(B)/unit-support.a: $(unit_SUPPORT:%.c=$(B)/%.o)
	@rm -f $@
	$(AR) rcs $@ $^
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/tests/unit/only.o $(B)/unit-support.a $(B)/scheduler.a $(B)/worker.a $(B)/cli.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE) -lcmocka
# Tests run anywhere; some read tables beside them.
$(B)/tests/unit/%.o: CPPFLAGS += -DSOURCE_DIR='"$(CURDIR)"'
UNIT_TESTS := $(unit_TESTS:%=$(B)/tests/unit/%)
TEST_TOOLS := $(test_TOOLS:%=$(B)/tests/tools/%) $(B)/tests/tools/inject.so
$(B)/tests/tools/%: $(B)/tests/tools/%.o $(B)/worker.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE)
# Put before the other libraries of a program that a test starts: calls fail in it. Without the build's own checks.
$(B)/tests/tools/inject.so: tests/tools/inject.c Makefile
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -std=gnu11 -O1 -g $(WARN) -fPIC -shared -o $@ $<
.PHONY: unit-tests list-unit-tests objects
unit-tests: $(UNIT_TESTS) $(TEST_TOOLS)
list-unit-tests:
	@echo $(UNIT_TESTS)
objects: $(LAYERS:%=$(B)/%.a)

# The fuzzers: built by scripts/fuzz.sh with FUZZ=1, into a folder of their own.
FUZZERS := $(fuzz_TARGETS:%=$(B)/tests/fuzz/fuzz_%)
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(fuzz_SUPPORT:%.c=$(B)/%.o) $(B)/scheduler.a $(B)/worker.a $(B)/queue.a $(B)/lib.a
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS_QUEUE) $(LIBS_STORE)
.PHONY: fuzzers list-fuzzers
fuzzers: $(FUZZERS)
list-fuzzers:
	@echo $(fuzz_TARGETS)

# clang-tidy, one stamp a source: only what changed is looked at again. The bound on nodes keeps the
# analyzer to a second a file; more of them found nothing more and took five.
TIDY_FLAGS := -std=gnu11 $(CPPFLAGS) $(CFLAGS_PACKAGES) -Xclang -analyzer-config -Xclang max-nodes=40000
TIDY := $(patsubst %.c,$(B)/tidy/%.ok,$(foreach l,$(LAYERS),$($(l)_SOURCES)) $(wildcard $(LAYERS:%=%/main.c)))
.PHONY: tidy
tidy: $(TIDY)
$(B)/tidy/%.ok: %.c $(B)/%.o .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(TIDY_FLAGS) > $@.log 2>&1 || { grep -E 'warning:|error:' $@.log; false; }
	@touch $@

.PHONY: demo check check-long check-asan fuzz chaos coverage faults valgrind soak mutants bench bench-queue bench-checkpoints bench-recovery lint fmt docs install clean
demo:
	scripts/bootstrap.sh
	$(MAKE) all
	scripts/demo.sh $(B)
check:
	scripts/bootstrap.sh
	scripts/bootstrap-tests.sh
	scripts/check.sh $(B)
check-long: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	@missed=0; for one in integration kill faults; do \
		STOKER_BUILD=$(B) /usr/bin/python3 -m pytest -q -m long tests/$$one || missed=1; \
	done; exit $$missed
# Both, whatever the first one misses.
bench: all $(BENCH_TOOLS)
	scripts/bootstrap-tests.sh
	scripts/bootstrap-bench.sh $(B)
	@missed=0; for one in bench queue_bench checkpoint_bench; do \
		STOKER_BUILD=$(B) /usr/bin/python3 scripts/bench/$$one.py || missed=1; \
	done; exit $$missed
bench-queue: all $(BENCH_TOOLS)
	scripts/bootstrap-bench.sh $(B)
	STOKER_BUILD=$(B) /usr/bin/python3 scripts/bench/queue_bench.py $(BENCH)
bench-checkpoints: all $(BENCH_TOOLS)
	scripts/bootstrap-tests.sh
	scripts/bootstrap-bench.sh $(B)
	STOKER_BUILD=$(B) /usr/bin/python3 scripts/bench/checkpoint_bench.py $(BENCH)
bench-recovery: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	STOKER_BUILD=$(B) /usr/bin/python3 scripts/bench/recovery_bench.py $(BENCH)
check-asan:
	scripts/bootstrap.sh
	scripts/bootstrap-tests.sh
	ASAN=1 scripts/check.sh $(B)-asan
fuzz:
	scripts/bootstrap.sh
	scripts/fuzz.sh $(B)-fuzz
chaos: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	STOKER_BUILD=$(B) /usr/bin/python3 tests/chaos/chaos.py
mutants: all objects unit-tests
	scripts/bootstrap-tests.sh
	STOKER_BUILD=$(B) /usr/bin/python3 tests/mutants/run.py $(MUTANTS)
faults: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	STOKER_BUILD=$(B) FAULTS_EACH=$${FAULTS_EACH:-40} /usr/bin/python3 -m pytest -q tests/faults --timeout 3600
valgrind: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	scripts/valgrind.sh $(B)
soak: all $(TEST_TOOLS)
	scripts/bootstrap-tests.sh
	STOKER_BUILD=$(B) /usr/bin/python3 tests/soak/soak.py
coverage:
	scripts/bootstrap.sh
	scripts/bootstrap-tests.sh
	scripts/coverage.sh $(B)-coverage
lint: all
	scripts/bootstrap-tests.sh
	scripts/lint.sh $(B)
fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')
docs: all $(B)/gen-docs
	scripts/docs.sh $(B)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/stoker/trainer $(DESTDIR)$(PREFIX)/share/doc/stoker
	install -m 755 $(PROGRAMS:%=$(B)/%) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(worker_TRAINER) $(DESTDIR)$(PREFIX)/share/stoker/trainer/
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/stoker/

clean:
	rm -rf $(B) $(B)-asan $(B)-coverage $(B)-fuzz $(B)-valgrind

.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
