//! The conformance suite: cases that every queue adapter must pass.
//!
//! For authors of an adapter: implement [`Harness`] in a test, and let [`queue_conformance!`](crate::queue_conformance)
//! make a `#[test]` of each case. Where queues may differ, the cases consult [`Capabilities`](super::Capabilities), and
//! nothing else.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use chrono::{DateTime, Utc};
//! use pulpo::clock::{Clock as _, ManualClock};
//! use pulpo::queue::conformance::Harness;
//! use pulpo::queue::{QueueAdapter, file::FileQueue};
//!
//! struct InMemory {
//!     clock: ManualClock,
//!     queue: FileQueue,
//! }
//!
//! impl InMemory {
//!     fn new() -> Self {
//!         let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().unwrap());
//!         let queue = FileQueue::memory(false, Arc::new(clock.clone())).unwrap();
//!         Self { clock, queue }
//!     }
//! }
//!
//! impl Harness for InMemory {
//!     fn queue(&self) -> &dyn QueueAdapter {
//!         &self.queue
//!     }
//!     fn now(&self) -> DateTime<Utc> {
//!         self.clock.now()
//!     }
//!     fn pass(&self, time: Duration) {
//!         self.clock.advance(time);
//!     }
//! }
//!
//! mod in_memory {
//!     pulpo::queue_conformance!(super::InMemory::new());
//! }
//!
//! // Each of those tests calls this:
//! pulpo::queue::conformance::run("order_is_by_priority_then_first_in_first_out", &InMemory::new());
//! ```

pub use self::harness::Harness;

mod activity;
mod attempts;
mod backups;
mod cancels;
mod edits;
mod harness;
mod imports;
mod inspection;
mod leases;
mod limits;
mod order;
mod outboxes;
mod past;
mod pauses;
mod picks;
mod schedules;
mod steps;
mod texts;
mod unique;
mod waiting;
mod workers;

/// The name of a case, and its function.
pub type Case = (&'static str, fn(&dyn Harness));

/// Passes the list of all cases to a macro, after the macro's other input.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_conformance_cases {
    ($then:path { $($given:tt)* }) => {
        $then! { { $($given)* }
            order {
                order_is_by_priority_then_first_in_first_out
                a_delayed_message_takes_its_place_when_due
                a_delay_in_the_past_does_not_count
                a_rollback_keeps_the_place
                several_queues_are_served_in_one_order
                queues_not_watched_are_left_alone
                a_batch_keeps_its_order_and_has_an_id_each
                enqueuing_nothing_is_not_an_error
                an_atomic_batch_is_stored_whole_or_not_at_all
            }
            leases {
                a_message_is_leased_to_one_consumer
                a_lease_ends_with_its_ttr
                late_calls_do_nothing_while_another_has_the_message
                a_late_commit_before_another_looked_is_done_or_lost
                late_calls_do_nothing_to_a_delayed_message
                late_calls_do_nothing_to_a_buried_message
                the_same_consumer_has_a_new_lease_after_the_old
                a_settled_message_cannot_be_settled_again
                several_that_are_settled_together_each_have_a_result
                deferred_commits_are_made_at_the_end
                a_commit_deferred_for_too_long_is_lost
                touch_renews_a_lease
                touch_says_which_of_several_leases_are_lost
                follow_ups_of_a_job_are_kept_with_its_commit
                a_run_that_has_lost_its_lease_publishes_no_follow_ups
                a_commit_with_follow_ups_is_never_deferred
                one_consumer_holds_several_leases
                consumers_never_share_a_message
                the_leases_of_a_dropped_consumer_end
            }
            attempts {
                a_first_delivery_is_complete
                a_counted_rollback_is_an_attempt
                a_rollback_with_delay_waits
                the_longest_wait_ends_at_a_time_that_can_be_written
                an_uncounted_rollback_is_not_an_attempt
                a_lost_lease_is_a_lost_attempt
                a_buried_message_stays_until_it_is_kicked
                a_kicked_message_has_all_its_attempts_again
                an_expired_message_is_deleted
                the_last_error_is_kept
                due_since_is_when_it_could_have_started
            }
            inspection {
                peek_shows_a_message_in_each_state
                peek_knows_only_ids_of_this_queue
                delete_spares_reserved_messages
                delete_picks_what_the_filter_says
                list_picks_what_the_filter_says
                a_list_continues_after_its_last_message
                list_picks_by_age_and_reason
                an_age_counts_from_the_last_change_of_state
                stats_count_by_state
                stats_of_some_queues_leave_out_the_others
                totals_count_published_and_finished_messages
                kick_picks_what_the_filter_says
                kick_leaves_alone_what_is_not_buried
                a_list_says_how_many_it_does_not_show
            }
            imports {
                an_imported_message_keeps_its_past
                an_import_is_all_or_nothing
            }
            past {
                a_failed_run_leaves_a_line
                the_last_failed_runs_are_kept
                a_run_whose_worker_died_leaves_a_line
                a_kick_keeps_the_history_and_a_commit_ends_it
                done_messages_are_kept_for_a_time
                buried_messages_are_kept_for_a_time
                messages_are_picked_by_their_bodies
            }
            edits {
                a_waiting_message_can_be_edited
                a_message_that_does_not_wait_cannot_be_edited
                a_unique_key_holds_over_edits
                an_edit_ends_a_wait
            }
            texts {
                texts_come_back_as_they_were
            }
            pauses {
                a_paused_queue_hands_out_nothing
                a_pause_with_an_end_ends
                a_resume_ends_a_wait
                a_queue_that_is_not_paused_can_be_resumed
            }
            picks {
                a_type_that_must_wait_stays_in_its_order
                a_queue_that_must_wait_stays_in_its_order
                a_type_taken_singly_is_not_leased_ahead
                a_queue_taken_singly_is_not_leased_ahead
            }
            outboxes {
                a_row_of_an_outbox_is_enqueued_once
                a_message_is_found_by_the_number_of_its_row
            }
            schedules {
                a_queue_keeps_schedules_or_says_that_it_does_not
                a_step_settles_and_publishes
                an_entry_is_made_once
                a_step_that_another_worker_took_does_nothing
                one_of_many_workers_publishes_an_occurrence
                an_occurrence_is_left_out_while_the_one_before_is_unfinished
                a_finished_or_buried_occurrence_does_not_hold_up_the_next
                a_time_that_two_entries_share_is_one_occurrence
                a_paused_schedule_is_not_caught_up
                entries_that_no_worker_has_had_for_long_are_forgotten
                a_time_that_was_published_elsewhere_is_noted
                an_occurrence_ends_a_wait
                an_occurrence_that_is_unique_is_published_once
            }
            activity {
                a_queue_keeps_activity_or_says_that_it_does_not
                each_event_is_counted_once
                a_cancelled_job_does_not_count_as_a_failure
                follow_ups_of_a_job_are_counted_as_published
                a_run_that_ended_with_its_worker_is_counted_as_failed
                earlier_events_are_left_out
            }
            backups {
                a_backup_is_a_new_file_of_the_reported_size
                a_backup_has_the_whole_content
            }
            unique {
                a_unique_key_has_one_message
                a_long_key_has_one_message
                a_key_is_taken_until_its_job_is_finished
                a_waiting_key_is_free_once_the_run_starts
                a_message_that_is_unique_while_it_waits_is_not_leased_ahead
                a_key_for_a_time_outlives_its_message
                a_waiting_message_is_replaced
                a_replacement_with_a_delay_starts_the_delay_again
                a_rejected_message_refuses_its_batch
                a_batch_keeps_the_first_of_each_key
                a_retry_waits_beside_a_newer_message
                a_run_whose_worker_dies_does_not_block_its_key
                a_kick_leaves_a_message_whose_key_is_taken
                follow_ups_of_a_job_are_unique_too
                an_expired_message_does_not_keep_its_key
                one_of_simultaneous_producers_publishes
                a_message_without_a_key_is_never_a_duplicate
                batches_with_the_same_keys_never_stop_each_other
                any_text_can_be_a_unique_key
            }
            limits {
                a_rate_bounds_the_starts_in_any_period
                a_limited_message_hides_nothing_behind_it
                a_limit_bounds_the_running_jobs
                a_queue_that_is_named_twice_counts_once
                a_dead_worker_frees_its_limit
                a_key_at_its_limit_does_not_hide_other_keys
                messages_without_a_key_share_one_limit
                several_limits_hold_together
                the_names_of_a_handler_share_its_limits
                a_batch_is_one_run_and_as_many_starts_as_messages
                nothing_is_leased_ahead_beyond_a_limit
                a_type_is_held_back_for_a_time
                a_key_is_held_back_alone
                a_key_at_its_limit_does_not_hide_thousands_behind_it
                limits_of_keys_and_of_the_queue_hold_together
                a_key_behind_hundreds_at_their_limits_starts
                any_text_can_be_a_limit_key
                a_rate_holds_with_and_without_unique_keys
                a_rate_of_many_starts_is_kept
                the_longest_period_is_kept
                workers_that_know_a_handler_by_other_names_share_its_rate
                a_message_that_does_not_run_is_not_a_start
                a_message_leased_ahead_and_given_back_is_not_a_start
            }
            cancels {
                a_waiting_message_is_buried_when_it_is_cancelled
                cancel_picks_what_the_filter_says
                a_cancelled_run_is_buried_however_it_ends
                a_deferred_commit_does_not_count_if_the_job_was_cancelled
                a_worker_learns_which_of_its_runs_are_cancelled
                a_renewal_keeps_the_mark_of_a_cancelled_run
                a_cancelled_run_whose_lease_ends_never_runs_again
                a_message_given_back_unrun_is_buried_if_it_was_cancelled
                a_cancelled_message_can_be_kicked
                a_kick_ends_the_delay_of_a_cancelled_message
                a_cancelled_message_frees_its_key
                a_cancelled_run_frees_its_limit
                either_a_cancel_or_a_commit_wins
            }
            workers {
                a_worker_is_listed_while_it_works
                a_worker_is_listed_with_what_it_runs
                a_message_that_is_only_leased_ahead_does_not_count_as_running
                a_cancelled_run_is_listed_as_cancelled
                progress_is_shown_while_a_run_lasts
                progress_ends_with_a_lease_that_is_lost
            }
            waiting {
                a_dequeue_without_wait_returns_at_once
                an_interrupt_ends_a_wait
                an_interrupt_ends_the_next_wait_too
                an_enqueue_ends_a_wait
                an_async_enqueue_keeps_messages_and_ends_a_wait
            }
        }
    };
}

macro_rules! table {
    ({} $($module:ident { $($case:ident)* })*) => {
        /// All cases.
        pub const CASES: &[Case] = &[$($((stringify!($case), $module::$case as fn(&dyn Harness)),)*)*];
    };
}

__with_conformance_cases! { table {} }

/// Makes a `#[test]` of each case of [`queue::conformance`](crate::queue::conformance). The expression creates a
/// harness for each one.
#[macro_export]
macro_rules! queue_conformance {
    ($harness:expr) => {
        $crate::__with_conformance_cases! { $crate::__conformance_tests { $harness } }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ({ $harness:expr } $($module:ident $cases:tt)*) => {
        $($crate::__conformance_tests! { @ { $harness } $cases })*
    };
    (@ { $harness:expr } { $($case:ident)* }) => {
        $($crate::__conformance_tests! { @@ { $harness } $case })*
    };
    (@@ { $harness:expr } $case:ident) => {
        #[test]
        fn $case() {
            $crate::queue::conformance::run(stringify!($case), &$harness);
        }
    };
}

/// Runs one case.
///
/// # Panics
/// If there is no case of that name, or the queue does not pass it.
pub fn run(case: &str, harness: &dyn Harness) {
    let (_, run) = CASES.iter().find(|(name, _)| *name == case).expect("expected the name of a case");
    run(harness);
}
