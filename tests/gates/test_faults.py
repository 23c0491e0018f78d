"""Each of the 25 faults that a cohort must survive has the tests named here, and they exist."""

import re

FAULTS = {
    1: ("a_worker_killed_from_outside_in_mid_scan", "a_killed_worker_costs_one_retry"),
    2: ("a_run_killed_at_random_moments", "workers_end_with_a_parent_that_is_killed"),
    3: ("a_signal_ends_a_run_in_good_order", "a_second_signal_ends_it_at_once"),
    4: ("a_lock_of_another_machine_is_free", "a_lock_of_another_machine_that_beats_is_respected"),
    5: ("two_runs_at_once_share_the_work", "one_run_collects_at_a_time"),
    6: ("a_full_disk_stops_the_run", "a_small_file_system_fills_up"),
    7: ("a_read_only_folder_is_named_before_the_model_loads",),
    8: ("a_done_scan_is_trusted_only_with_its_hashes", "a_rerun_does_what_is_missing"),
    9: ("other_settings_are_refused_with_the_difference", "results_made_otherwise_are_refused"),
    10: ("a_done_scan_is_trusted_only_with_its_hashes_and_its_input",),
    11: ("sixteen_processes_at_once_write_one_whole_description",),
    12: ("two_cohorts_at_once_know_nothing_of_each_other",),
    13: ("an_accelerator_without_memory_or_lost_falls_back",),
    14: ("an_accelerator_without_memory_or_lost_falls_back",),
    15: ("one_corrupt_scan_in_a_hundred_is_one_line",),
    16: ("scan_after_scan_that_fails_alike_ends_the_run", "ten_failures_alike_end_a_run"),
    17: ("a_log_storm_stays_small",),
    18: ("a_scan_that_hangs_is_ended",),
    19: ("workers_are_replaced_before_what_leaks_adds_up", "memory_does_not_creep_over_two_hundred_scans"),
    20: ("a_done_scan_is_trusted_only_with_its_hashes", "a_lock_of_another_machine_is_free"),
    21: ("group_collects_tables_and_a_page",),
    22: ("a_mistake_in_the_report_costs_no_labels", "a_page_that_fails_leaves_the_tables_whole"),
    23: ("a_kill_at_any_moment_leaves_a_checkpoint_that_loads",),
    24: ("a_member_that_dies_ends_the_team",),
    25: ("packed_results_are_two_files_a_scan",),
}


def test_every_fault_of_a_cohort_has_its_tests(root, tracked):
    texts = "\n".join((root / path).read_text(encoding="utf-8") for path in tracked if path.name.startswith("test_"))
    names = re.findall(r"^def test_(\w+)\(", texts, re.MULTILINE)
    assert sorted(FAULTS) == list(range(1, 26))
    wanted = [(row, begin) for row, begins in FAULTS.items() for begin in begins]
    assert [(row, begin) for row, begin in wanted if not any(name.startswith(begin) for name in names)] == []
