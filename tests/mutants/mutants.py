#!/usr/bin/python3
"""The bugs that `make mutants` puts into stoker, one at a time, and the test that must catch each.

    tests/mutants/mutants.py docs/reliability.md     prints the page with the list as it stands here
"""
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHAOS = "tests/chaos/test_chaos.py::test_nothing_is_lost_whatever_breaks"


@dataclass(frozen=True)
class Mutant:
    name: str
    bug: str   # what is wrong with it
    file: str
    old: str   # stands there exactly once
    new: str
    test: str  # file::function: of pytest, or of a unit test in C
    says: str = ""  # what the failing test must print besides, a regular expression


MUTANTS = [
    # ---- the fence around an attempt ----
    Mutant("token-ignored", "a token that is not the current one may write", "lua/job.lua",
           "elseif j.f.token ~= token then", "elseif not j.f.token then",
           CHAOS, says=r"^stale-accepted: "),
    Mutant("token-ignored-at-the-end", "a success with a token that is not the current one counts", "lua/finish.lua",
           "known[2] ~= uid or known[5] ~= token or known[8]", "known[2] ~= uid or known[8]",
           "tests/lua/test_life.py::test_a_stale_token_changes_nothing"),
    Mutant("token-does-not-rise", "the next attempt has the token of the last one", "lua/claim.lua",
           "math.max(job_number(j, 'token') + 1, q.now)", "math.max(job_number(j, 'token'), 1)",
           "tests/lua/test_life.py::test_tokens_rise_with_each_attempt"),
    Mutant("uid-ignored", "a number that is given out again lets the attempts of its first job write", "lua/job.lua",
           "elseif j.f.uid ~= uid then", "elseif not j.f.uid then",
           "tests/lua/test_life.py::test_a_stale_token_changes_nothing"),

    # ---- the end of an attempt ----
    Mutant("end-told-twice", "a success that is reported again is counted and told again", "lua/finish.lua",
           "if known.err or known[1] ~= 'running' or", "if known.err or not known[1] or",
           "tests/lua/test_life.py::test_many_jobs_finish_in_one_call"),
    Mutant("end-is-not-absorbed", "an attempt that has ended may end once more, otherwise", "lua/finish.lua",
           "elseif j.f.finished or j.f.state == SUCCEEDED then", "elseif j.f.state == SUCCEEDED then",
           "tests/lua/test_life.py::test_finish_sent_again_gives_the_same_answer"),
    Mutant("report-beats-cancel", "a cancelled attempt that fails is tried again", "lua/attempt.lua",
           "if j.f.stop == 'cancel' and reported ~= 'succeeded' then", "if j.f.stop == 'cancel' and not reported then",
           "tests/lua/test_ends.py::test_a_cancel_wins_over_all_but_success"),
    Mutant("flag-ignored", "an attempt that was flagged as corrupted succeeds", "lua/attempt.lua",
           "elseif j.f.stop == 'corrupted' then", "elseif j.f.stop == 'corrupted' and reported ~= 'succeeded' then",
           CHAOS, says=r"^flag-ignored: "),
    Mutant("end-not-awaited", "a runner leaves before Redis has answered how its attempt ended",
           "worker/runner_report.c",
           "if (err && !is_stale) {", "if (err && !is_stale && err->kind == ERR_FULL) {",
           "tests/integration/test_worker_connections.py::test_an_end_that_did_not_arrive_is_reported_again"),

    # ---- submits ----
    Mutant("key-ignored", "the same idempotency key makes a second job", "lua/submit.lua",
           "local known = call('GET', key_of(q, 'key:', name))", "local known = nil",
           "tests/lua/test_life.py::test_submit_with_a_key_makes_one_job"),
    Mutant("key-takes-any-body", "the same idempotency key with another spec is answered with the first job",
           "lua/submit.lua", "if known_hash ~= hash then", "if not known_hash then",
           "tests/lua/test_life.py::test_submit_with_a_key_makes_one_job"),
    Mutant("unique-race", "two jobs of one call have one unique key", "lua/limit.lua",
           "if not key or q.known.unique[key] then", "if not key then",
           "tests/lua/test_limits.py::test_the_same_submit_again_is_the_same_job"),

    # ---- leases and the reaper ----
    Mutant("no-lease", "a claim enters no lease that ends: who dies before the first renewal is never missed",
           "lua/claim.lua", "leases[#leases + 1] = expiries[lease_ms]", "leases[#leases + 1] = '+inf'",
           "tests/lua/test_reaper.py::test_a_lease_runs_out_by_itself"),
    Mutant("no-grace-after-a-restart", "all that ran is reaped at once when Redis was away for longer than a lease",
           "lua/reap.lua", "if restarted or (gap and", "if (gap and",
           "tests/lua/test_reaper.py::test_a_new_run_id_gives_everybody_one_lease"),
    Mutant("no-grace-after-a-pause", "all that ran is reaped at once when nobody reaped for a while", "lua/reap.lua",
           "if restarted or (gap and q.now - since_ms <= GRACES_IN_A_ROW * lease_max) then", "if restarted then",
           "tests/lua/test_reaper.py::test_a_gap_between_reaps_gives_everybody_one_lease"),
    Mutant("wall-clock", "leases and waits are counted by a clock that people turn", "lib/clock.c",
           "return clock_read_ms(CLOCK_BOOTTIME);", "return clock_read_ms(CLOCK_REALTIME);",
           "tests/integration/test_clocks.py::test_a_clock_that_is_turned_ends_no_lease"),
    Mutant("claim-number-not-kept", "a claim whose answer was lost is asked for under a new number: what it gave waits "
           "for its lease", "worker/claims.c",
           "claims->has_failed = err != NULL;", "claims->has_failed = err != NULL, claims->request += err != NULL;",
           "tests/integration/test_worker_connections.py::test_a_claim_whose_answer_was_lost_is_asked_for_again"),

    # ---- budgets ----
    Mutant("poison-pill", "a job that kills every runner is tried for ever", "lua/attempt.lua",
           "if lost >= most then", "if lost < 0 then",
           "tests/lua/test_ends.py::test_lost_in_a_row_is_a_poison_pill"),
    Mutant("budget-not-counted", "no attempt is counted against its budget", "lua/budget.lua",
           "local used = job_number(j, field) + 1", "local used = job_number(j, field)",
           "tests/lua/test_ends.py::test_errors_are_tried_again_until_the_budget_is_used"),
    Mutant("budget-not-given-back", "losses count although a checkpoint came in between", "lua/budget.lua",
           "job_clear(j, 'lost')", "job_clear(j, 'refund')",
           "tests/lua/test_ends.py::test_a_checkpoint_gives_the_lost_budget_back"),
    Mutant("preemption-costs", "a preemption is counted as an error", "lua/attempt.lua",
           "budgets.take(j, 'preempted')", "budgets.take(j, 'errors')",
           "tests/lua/test_preempt.py::test_the_lower_one_goes_and_nothing_is_counted"),

    # ---- limits and dependencies ----
    Mutant("slot-not-given-back", "a job that has ended keeps its place under a concurrency limit", "lua/limit.lua",
           "if call('ZREM', key_of(q, slots), j.n) == 1 then", "if call('ZSCORE', key_of(q, slots), j.n) then",
           "tests/lua/test_limits.py::test_a_slot_that_comes_free_lets_the_next_one_go_in_the_same_call"),
    Mutant("parent-counts-twice", "a parent that tells its end twice is two parents", "lua/depend.lua",
           "or ''):match('^(%a+) %-$')", "or ''):match('^(%a+) ')",
           "tests/lua/test_depend.py::test_one_parent_is_one_however_often_it_tells"),

    # ---- logs ----
    Mutant("log-hole", "lines that come after a hole are taken as if there were none", "lua/log.lua",
           "if entry.first > next_line then", "if entry.first > LARGEST then",
           "tests/lua/test_streams.py::test_a_jump_is_asked_back"),
    Mutant("log-repeats", "of a piece that is known in part, the known lines are written again", "lua/log.lua",
           "for _ = 1, known do", "for _ = 1, 0 do",
           "tests/lua/test_streams.py::test_lines_that_are_there_are_skipped"),
    Mutant("log-not-sent-again", "a runner does not go back to the line that Redis wants", "worker/feed.c",
           "} else if (next < flight->end.line) {", "} else if (next < 0) {",
           "tests/unit/test_feed.c::test_redis_forgets"),

    # ---- checkpoints ----
    Mutant("commit-not-awaited", "a checkpoint counts as committed when Redis has not answered", "worker/runner_ship.c",
           "if (err && err->kind != ERR_INPUT && err->kind != ERR_CONFLICT) {", "if (err && err->kind == ERR_FULL) {",
           "tests/integration/test_worker_connections.py::test_a_commit_that_did_not_arrive_is_sent_again"),
    Mutant("data-not-synced", "the manifest is written when the data before it may still be lost", "lib/store_file.c",
           "if (fsync(file->fd) < 0 || !file_put_place(file)) {", "if (!file_put_place(file)) {",
           "tests/unit/test_store.c::test_a_name_only_for_what_is_on_disk"),
    Mutant("name-not-synced", "the name of an object may still be lost when its writer was told that it is there",
           "lib/store_file.c",
           "bool ok = fsync(file->folder) == 0 || file_error", "bool ok = file->folder >= 0 || file_error",
           "tests/unit/test_store.c::test_a_name_only_for_what_is_on_disk"),
    Mutant("hash-not-verified", "a program resumes from data that is damaged", "queue/saved.c",
           "d->object->blocks.hashes[d->next++].text) == 0) {", "d->object->blocks.hashes[d->next++].text)) {",
           "tests/unit/test_restore.c::test_flipped_and_cut_data"),
    Mutant("change-not-seen", "what changed while it was shipped is committed", "worker/checkpoints.c",
           "if (c->unit->changes == c->unit_changes)\n\t\treturn true;", "if (c->unit)\n\t\treturn true;",
           "tests/unit/test_checkpoint_faults.c::test_written_when_it_was_shipped"),
    Mutant("half-a-save-is-believed", "the last file of a program that was killed is taken for whole",
           "worker/checkpoints.c",
           "if (is_early)\n\t\treturn SHIP_SUSPECT;", "if (is_early)\n\t\treturn SHIP_SETTLED;",
           CHAOS, says=r"^torn-checkpoint: "),
    Mutant("restored-is-deleted", "the rules of retention take a checkpoint that is being restored", "lua/keep.lua",
           "checkpoints.used(c) == 0 and not checkpoints.is_being_read(j, c) and", "checkpoints.used(c) == 0 and",
           "tests/lua/test_checkpoints.py::test_what_may_still_be_restored_is_not_deleted"),
    Mutant("lent-is-deleted", "the rules of retention take a checkpoint that another job begins from", "lua/keep.lua",
           "                not is_lent(q, j, c) then", "                true then",
           "tests/lua/test_keep.py::test_what_is_lent_stays_until_the_borrower_has_its_own"),
    Mutant("gc-takes-lent", "the cleaning of the store takes what another job begins from", "scheduler/gc.c",
           "if (now_ms - unit->modified_ms < older_ms || json_object_get(job->lent, key))",
           "if (now_ms - unit->modified_ms < older_ms)",
           "tests/integration/test_saved.py::test_gc_leaves_what_was_lent_by_a_removed_job"),
    Mutant("resume-past-the-onset", "a corrupted run goes on from what it saved when it was corrupted already",
           "lua/checkpoints.lua",
           "math.max(own, seen or own) < step", "math.max(own, seen or own) <= step",
           "tests/lua/test_recovery.py::test_only_what_is_proved_to_be_good"),

    # ---- one machine ----
    Mutant("no-death-signal", "a program outlives its runner when nobody is there to look", "worker/runner_program.c",
           ",\n\t\t\t\t   .death_signal = SIGKILL };", " };",
           "tests/integration/test_worker_survives.py::test_a_program_dies_with_its_runner"),
    Mutant("lost-too-early", "a worker reports an attempt as lost while processes of it are alive", "worker/lost.c",
           "if (!lost->is_swept && lost->is_of_this_boot) {", "if (!lost->is_swept && !lost->is_of_this_boot) {",
           "tests/integration/test_worker_survives.py::test_a_dead_runner_is_noticed_at_once_and_nothing_overlaps"),
    Mutant("two-attempts-at-once", "an attempt begins beside an earlier one that stands still", "worker/runs.c",
           "struct run *before = run_before(run->runs, &run->record);", "struct run *before = NULL;",
           "tests/integration/test_worker_survives.py::"
           "test_an_attempt_that_was_given_up_is_killed_before_the_next_starts_here"),
    Mutant("partition-not-obeyed", "a program of `on_partition: stop` goes on without a lease", "worker/runner_lease.c",
           "r->has_spec && r->spec.on_partition == PARTITION_STOP",
           "r->has_spec && r->spec.on_partition > PARTITION_STOP",
           "tests/integration/test_worker_survives.py::test_on_partition_stop_the_program_ends_before_the_lease"),
    Mutant("gpu-given-twice", "a worker that was started again gives out GPUs that its runs hold", "worker/runs.c",
           "\trun->record = record;\n\tslots_hold(runs->o.slots, &record.grant);\n", "\trun->record = record;\n",
           "tests/integration/test_worker_survives.py::test_gpus_are_exclusive_also_over_a_restart"),

    # ---- what Redis and the scheduler acknowledge ----
    Mutant("answered-before-it-is-on-disk", "`stoker up` starts a Redis that answers before its file is on disk",
           "cli/up_folder.c", '"appendfsync always\\n"', '"appendfsync everysec\\n"',
           "tests/integration/test_up.py::test_it_starts_runs_a_job_and_drains"),
    Mutant("dropped-before-it-is-archived", "an ended job leaves Redis although the archive could not be written",
           "scheduler/archive.c",
           "\thelper_free(STEAL(archive->writer));\n\tif (err) {",
           "\thelper_free(STEAL(archive->writer));\n\tif (err && text) {",
           "tests/integration/test_archive.py::test_without_the_store_nothing_leaves_and_admission_closes"),
    Mutant("webhook-not-awaited", "a webhook that the receiver refused counts as delivered", "scheduler/webhooks.c",
           "if (end->status >= 200 && end->status < 300) {", "if (end->status) {",
           "tests/integration/test_webhook_delivery.py::test_refusals_of_the_receiver_are_tried_again"),
]

HEAD = "| bug | what is wrong with it | in | test |\n|---|---|---|---|\n"


def mistakes(root=ROOT):
    """What is wrong with the table itself, as sentences: so that it cannot rot unnoticed."""
    found = [f"{name}: there are two of this name" for name in {m.name for m in MUTANTS}
             if sum(m.name == name for m in MUTANTS) > 1]
    for mutant in MUTANTS:
        count = (root / mutant.file).read_text().count(mutant.old)
        if count != 1:
            found.append(f"{mutant.name}: in {mutant.file} its text stands {count} times, not once: {mutant.old!r}")
        path, function = mutant.test.split("::")
        form = r"^static void {}\(void" if path.endswith(".c") else r"^def {}\("
        test = root / path
        if not test.exists() or not re.search(form.format(re.escape(function.split("[")[0])), test.read_text(), re.M):
            found.append(f"{mutant.name}: there is no test {mutant.test}")
    return found


def markdown():
    """The list as docs/reliability.md has it."""
    def row(m):
        says = m.says.strip("^: ")
        return (f"| {m.name} | {m.bug} | `{m.file}` | `{m.test.replace('tests/', '', 1)}`"
                f"{f' ({says})' if says else ''} |\n")
    return HEAD + "".join(map(row, MUTANTS))


def page(text):
    """This page of docs/ with the list as it is now."""
    at = text.index(HEAD)
    end = text.find("\n\n", at) + 1 or len(text)
    return text[:at] + markdown() + text[end:]


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text()))
