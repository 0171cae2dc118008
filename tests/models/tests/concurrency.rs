//! Interactions between threads, in thousands of orders.

use pulpo_models::{group_commit_scenarios as group_commit, prefetch_scenarios as prefetch, slot_scenarios as slot};

/// Returns the number of orders to try; set `PULPO_MODEL_ORDERS` for more.
fn orders() -> usize {
    std::env::var("PULPO_MODEL_ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(60)
}

macro_rules! in_many_orders {
    ($($module:ident :: $scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                // Fully random scheduling, and scheduling with few switches between threads.
                shuttle::check_random($module::$scenario, orders());
                shuttle::check_pct($module::$scenario, orders(), 3);
            }
        )*
    };
}

in_many_orders! {
    group_commit::everybody_is_notified
    group_commit::tasks_are_notified_too
    group_commit::a_leader_that_panics_strands_no_thread
    group_commit::a_committer_that_panics_strands_no_thread
    group_commit::a_task_that_is_dropped_strands_no_thread
    group_commit::a_committer_that_does_not_start_strands_no_thread
    group_commit::a_writer_that_is_dropped_loses_nothing
    prefetch::each_message_runs_once
    prefetch::a_stop_leaves_nothing_leased
    prefetch::a_fetch_that_panics_strands_no_thread
    prefetch::a_step_that_fails_for_now_loses_no_commit
    slot::a_lane_that_finishes_while_the_monitor_looks_settles_each_job
    slot::a_job_that_times_out_as_it_ends_is_settled_once
    slot::a_stop_at_any_point_ends_each_begun_job_once
    slot::the_monitor_misses_nothing_while_somebody_looks
}
