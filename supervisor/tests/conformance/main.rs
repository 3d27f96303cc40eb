//! How far this crate does what OTP's supervisors do: the cases of OTP 25's `supervisor_SUITE`, each under its own name, what
//! that suite does not ask, and the situations that other crates get wrong.
//!
//! Everything runs under tokio's paused clock. One test, `conformance`, runs all of it in one process and says how much is met.

mod ends;
mod further;
mod groups;
mod kit;
mod others;
mod start;
mod stop;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::catch_unwind;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

/// Runs one case on a paused clock and a single thread: nothing but the test decides what happens next.
fn run(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(case);
}

/// As it is in OTP, or translated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    A,
    T,
}
use Class::{A, T};

/// Number and name in OTP's suite.
type Case = (u32, &'static str, Class, fn());

macro_rules! cases {
    ($($number:literal $class:ident $module:ident::$name:ident,)*) => {
        &[$(($number, stringify!($name), $class, $module::$name as fn())),*]
    };
}

const SUITE: &[Case] = cases! {
    1 A start::sup_start_normal,
    2 A start::sup_start_ignore_init,
    3 A start::sup_start_ignore_child,
    4 A start::sup_start_ignore_temporary_child,
    5 A start::sup_start_ignore_temporary_child_start_child,
    6 A start::sup_start_ignore_temporary_child_start_child_simple,
    7 A start::sup_start_ignore_permanent_child_start_child_simple,
    8 T start::sup_start_error_return,
    9 T start::sup_start_fail,
    10 A start::sup_start_child_returns_error,
    11 A start::sup_start_restart_child_returns_error,
    12 A start::sup_start_child_returns_error_simple,
    13 A start::sup_start_map,
    14 A start::sup_start_map_simple,
    15 T start::sup_start_map_faulty_specs,
    16 A stop::sup_stop_infinity,
    17 A stop::sup_stop_timeout,
    18 A stop::sup_stop_timeout_dynamic,
    19 A stop::sup_stop_brutal_kill,
    20 A stop::sup_stop_brutal_kill_dynamic,
    21 A stop::sup_stop_race,
    22 A stop::sup_stop_non_shutdown_exit_dynamic,
    23 A ends::permanent_normal,
    24 A ends::transient_normal,
    25 A ends::temporary_normal,
    26 A ends::permanent_shutdown,
    27 A ends::transient_shutdown,
    28 A ends::temporary_shutdown,
    29 T ends::faulty_application_shutdown,
    30 A ends::permanent_abnormal,
    31 A ends::transient_abnormal,
    32 A ends::temporary_abnormal,
    33 A groups::one_for_one,
    34 A groups::one_for_one_escalation,
    35 A groups::one_for_all,
    36 A groups::one_for_all_escalation,
    37 A groups::one_for_all_other_child_fails_restart,
    38 A groups::simple_one_for_one,
    39 A groups::simple_one_for_one_shutdown,
    40 T groups::simple_one_for_one_extra,
    41 A groups::simple_one_for_one_escalation,
    42 T groups::simple_one_for_one_corruption,
    43 A groups::rest_for_one,
    44 A groups::rest_for_one_escalation,
    45 A groups::rest_for_one_other_child_fails_restart,
    60 A others::child_adm,
    61 A others::child_adm_simple,
    62 T others::extra_return,
    63 T others::child_specs,
    64 T others::child_specs_map,
    65 T others::sup_flags,
    66 A others::multiple_restarts,
    67 T others::child_unlink,
    68 A others::tree,
    69 A others::count_children,
    70 A others::count_children_supervisor,
    71 A others::count_restarting_children,
    73 T others::do_not_save_start_parameters_for_temporary_children,
    74 A others::do_not_save_child_specs_for_temporary_children,
    75 A others::simple_one_for_one_scale_many_temporary_children,
    76 A others::temporary_bystander,
    78 A others::hanging_restart_loop,
    79 A others::hanging_restart_loop_rest_for_one,
    80 A others::hanging_restart_loop_simple,
    85 A groups::order_of_children,
    86 A others::scale_start_stop_many_children,
};

/// Of the suite's 88 cases 14 are about replacing code at run time, or the text of reports: they do not apply.
const APPLICABLE: usize = 74;

/// Applicable, and not built yet: significant children and names.
const LATER: &[(u32, &str)] = &[
    (46, "nonsignificant_temporary"),
    (47, "nonsignificant_transient"),
    (48, "significant_temporary"),
    (49, "significant_transient"),
    (50, "significant_simple"),
    (51, "significant_bystander"),
    (52, "significant_escalation"),
    (77, "simple_global_supervisor"),
];

/// What OTP's suite does not ask.
const FURTHER: &[Case] = cases! {
    1 A further::a_killed_transient_child_is_wanted_back,
    2 A start::a_refusal_rolls_back_those_before,
    3 A others::a_key_that_is_there_changes_nothing,
    4 A groups::two_failures_at_once_are_one_restart,
    5 A groups::a_group_waits_for_the_last_to_end,
    6 A others::a_child_terminated_in_its_pause_stays_down,
    7 A further::a_limit_that_cannot_be_passed_is_refused,
    8 A ends::a_transient_supervisor_that_gives_up_is_seen,
    9 A groups::a_sibling_that_was_done_comes_back_with_its_group,
    10 A further::the_window_slides,
    11 A further::the_limit_is_the_supervisors,
    14 A start::a_slow_start_holds_up_no_reader,
    15 A start::start_timeout_is_a_start_failure,
    16 A others::no_more_children_than_there_may_be,
    17 A others::nothing_to_do_at_a_restart_removes_it,
    18 A further::pauses_are_as_specified,
    19 A groups::two_groups_become_one_and_the_later_pause_holds,
    20 A further::a_missed_heartbeat_is_a_hang,
    22 A others::reload_starts_every_key_of_the_store,
    25 A others::a_child_that_asks_for_its_own_end_is_told,
    26 A groups::no_child_outlives_its_supervisors_task,
    28 A groups::a_child_past_its_own_limit_is_parked_alone,
    29 A further::an_order_ends_a_groups_endless_attempts,
    30 A further::by_hand,
    31 A further::an_end_waits_for_the_order_before_it,
    32 A further::a_restart_counts_before_its_pause,
};

/// Those that need real threads, or stand with the tests of what they are a part of: number, file, test.
const ELSEWHERE: &[(u32, &str, &str)] = &[
    (12, STOP, "a_stop_does_not_wait_for_a_child_that_never_yields"),
    (
        12,
        STOP,
        "a_stuck_child_gets_no_second_incarnation_until_it_has_ended",
    ),
    (
        13,
        STOP,
        "a_child_that_wakes_its_supervisor_and_blocks_its_thread_holds_up_nobody",
    ),
    (
        21,
        THREADS,
        "a_child_that_keeps_its_thread_is_found_out_and_its_late_write_is_refused",
    ),
    (
        23,
        EVENTS,
        "a_slow_reader_is_told_what_it_missed_and_goes_on_from_a_snapshot",
    ),
    (27, STOP, "sub_tasks_are_gone_before_the_exit_is_told"),
];

/// What was seen to go wrong in supervision crates for Rust, and which of the tests here is that situation.
const SITUATIONS: &[(&str, &[&str])] = &[
    (
        "start returns when children are ready; a failure rolls back",
        &[
            "a_refusal_rolls_back_those_before",
            "a_slow_start_holds_up_no_reader",
        ],
    ),
    (
        "start_child of a child that fails",
        &["sup_start_child_returns_error"],
    ),
    (
        "a duplicate id",
        &["a_key_that_is_there_changes_nothing", "child_adm"],
    ),
    (
        "a stop in reverse order, all ended when it returns",
        &["order_of_children", "sup_stop_timeout"],
    ),
    (
        "a group restart waits for the end of siblings",
        &[
            "a_group_waits_for_the_last_to_end",
            "a_sibling_that_was_done_comes_back_with_its_group",
        ],
    ),
    (
        "a group restart in start order",
        &["order_of_children", "one_for_all"],
    ),
    (
        "a temporary sibling is not started again",
        &["temporary_bystander"],
    ),
    (
        "a killed transient child",
        &["a_killed_transient_child_is_wanted_back"],
    ),
    ("a permanent child that ended normally", &["permanent_normal"]),
    (
        "a limit per supervisor that escalates",
        &["the_limit_is_the_supervisors", "one_for_one_escalation"],
    ),
    ("a window that slides", &["the_window_slides"]),
    (
        "a restart counts before its pause",
        &["a_restart_counts_before_its_pause"],
    ),
    (
        "terminated during a pause",
        &["a_child_terminated_in_its_pause_stays_down"],
    ),
    (
        "a child that never yields",
        &[
            "a_stop_lists_who_does_not_end_and_returns",
            "a_child_that_keeps_its_thread_is_found_out_and_its_late_write_is_refused",
        ],
    ),
    ("three levels and an escalation", &["tree"]),
    (
        "a restart's time does not depend on how many there are",
        &[
            "simple_one_for_one_scale_many_temporary_children",
            "scale_start_stop_many_children",
        ],
    ),
];

fn all() -> impl Iterator<Item = &'static Case> {
    SUITE.iter().chain(FURTHER)
}

/// Everything in one process, and the sum.
fn conformance() {
    let began = Instant::now();
    let failed: Vec<&str> = all()
        .filter(|(_, _, _, case)| catch_unwind(case).is_err())
        .map(|(_, name, ..)| *name)
        .collect();
    let took = began.elapsed();
    let met = |class: Class| {
        let of = SUITE.iter().filter(|(_, _, c, _)| *c == class);
        of.filter(|(_, name, ..)| !failed.contains(name)).count()
    };
    println!(
        "OTP's supervisor_SUITE: {} of {APPLICABLE} applicable cases met ({} as they are, {} translated), {} not built yet: {}",
        met(A) + met(T),
        met(A),
        met(T),
        LATER.len(),
        LATER.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", "),
    );
    println!(
        "{} further cases here, {} elsewhere, {} situations; all in {took:?}",
        FURTHER.len(),
        ELSEWHERE.len(),
        SITUATIONS.len()
    );
    assert_eq!(SUITE.len() + LATER.len(), APPLICABLE);
    assert!(failed.is_empty(), "not met: {failed:?}");
}

/// What needs real threads and real time stands there, and what is more than a case.
const THREADS: &str = include_str!("../tree/threads.rs");
const STOP: &str = include_str!("../tree/stop.rs");
const EVENTS: &str = include_str!("../tree/events.rs");

/// Each situation names tests that are there.
fn every_situation_has_its_test() {
    let names: BTreeMap<&str, u32> = all().map(|(number, name, ..)| (*name, *number)).collect();
    assert_eq!(
        names.len(),
        SUITE.len() + FURTHER.len(),
        "a name stands for one case"
    );
    for (number, file, test) in ELSEWHERE {
        assert!(
            file.contains(&format!("fn {test}(")),
            "X{number}: there is no {test}"
        );
    }
    for (situation, tests) in SITUATIONS {
        assert!(!tests.is_empty(), "{situation}");
        for test in *tests {
            let there = names.contains_key(test) || THREADS.contains(&format!("fn {test}("));
            assert!(there, "{situation}: there is no {test}");
        }
    }
}

fn main() -> std::process::ExitCode {
    let trial = |name: &str, case: fn()| {
        Trial::test(name, move || {
            case();
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = all().map(|(_, name, _, case)| trial(name, *case)).collect();
    trials.push(trial("conformance", conformance));
    trials.push(trial(
        "every_situation_has_its_test",
        every_situation_has_its_test,
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
