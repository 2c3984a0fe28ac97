//! What every queue engine keeps, clause by clause (Q1 to Q9), and the same tests for each engine.
//!
//! A new engine implements [`engine::Engine`] and gets a line at the end of this file.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod attempts;
mod commits;
mod dead;
mod durability;
mod engine;
mod entries;
mod leases;
mod model;
mod order;
mod pressure;
mod sqlite;
mod sqs;

/// Runs the named clauses against an engine.
macro_rules! conformance {
    ($engine:ty: $($file:ident::{$($clause:ident),* $(,)?})*) => {
        $($(
            #[tokio::test]
            async fn $clause() {
                crate::$file::$clause::<$engine>().await;
            }
        )*)*
    };
}

mod on_sqlite {
    conformance! { crate::sqlite::Sqlite:
        durability::{
            conformance_q1_acknowledged_frames_survive_kill_9,
            conformance_q1_settled_frames_stay_settled_after_a_restart,
            conformance_q1_frames_come_in_the_order_of_their_publisher,
        }
        leases::{
            conformance_q2_unsettled_delivery_is_handed_out_again_after_its_lease,
            conformance_q2_leased_frame_is_not_handed_out_twice,
            conformance_q2_dead_owner_frees_its_leases_at_once,
            conformance_q2_killed_process_frees_its_leases_at_once,
            conformance_q2_closing_gives_back_leases_uncounted,
            conformance_q2_receive_that_is_dropped_loses_nothing,
            conformance_q2_clock_that_is_put_back_holds_nothing_up,
            conformance_q3_extended_lease_lasts,
            conformance_q3_lost_lease_settles_nothing,
            conformance_q3_settled_receipt_settles_nothing_more,
        }
        order::{
            conformance_q4_lane_goes_to_one_holder_in_order,
            conformance_q4_run_keeps_to_limits_and_to_one_lane,
            conformance_q4_runs_of_several_lanes_come_at_once,
            conformance_q4_holder_may_take_the_next_run_of_its_lane,
            conformance_q4_lane_with_the_oldest_frame_comes_first,
            conformance_q4_retry_gives_back_all_after_it_and_holds_the_lane,
            conformance_q4_dead_lets_the_lane_go_on,
            conformance_q4_lost_lease_gives_back_all_after_it,
            conformance_q4_lanes_do_not_wait_for_each_other,
            conformance_q4_unordered_queue_hands_a_lane_to_many_holders,
            conformance_q4_unordered_retry_does_not_hold_the_others,
            conformance_q4_lanes_of_notify_are_received_by_themselves,
            conformance_q4_what_is_put_off_is_not_in_flight,
            conformance_q4_lanes_of_notify_can_begin_anew,
        }
        attempts::{
            conformance_q5_retry_counts,
            conformance_q5_later_waits_like_a_retry_but_does_not_count,
            conformance_q5_lost_run_does_not_count,
            conformance_q5_dead_letter_leaves_the_queue_and_is_counted,
            conformance_q5_dead_letter_is_counted_with_its_rows,
            conformance_q5_frame_that_brings_holders_down_ends_alone_and_dead,
            conformance_q5_ten_restarts_make_no_dead_letter,
        }
        entries::{
            conformance_q6_repeated_id_adds_nothing,
            conformance_q6_repeated_id_adds_nothing_to_an_ordered_queue,
            conformance_q6_repeated_id_counts_again_after_the_window,
            conformance_q6_repeated_id_in_another_queue_is_another_frame,
            conformance_q6_repeated_commit_is_counted_once,
            conformance_q7_bytes_come_back_as_they_went_in,
            conformance_q7_frame_without_bytes_is_taken,
            conformance_q7_too_large_is_refused_before_sending,
            conformance_q8_bad_entry_of_a_publish_fails_alone,
            conformance_q8_lost_receipt_of_a_settle_fails_alone,
            conformance_q8_fenced_commit_fails_alone,
            conformance_q8_fenced_commit_publishes_nothing,
        }
        pressure::{
            conformance_q9_full_queue_makes_publishers_wait,
            conformance_q9_full_queue_makes_commits_wait,
            conformance_q9_room_made_by_another_process_is_seen,
            conformance_q9_full_notify_gives_up_its_oldest_and_makes_nobody_wait,
            conformance_q9_flood_in_one_lane_of_notify_costs_no_other_lane,
            conformance_receive_wakes_on_a_publish,
            conformance_receive_wakes_on_a_publish_of_another_process,
            conformance_receive_wakes_when_a_lane_comes_free,
        }
        commits::{
            conformance_commit_consumes_publishes_and_counts,
            conformance_commit_consumes_publishes_and_buries,
            conformance_commit_keeps_what_it_gives_up,
            conformance_commit_with_a_lost_receipt_changes_nothing,
            conformance_state_is_numbered_and_snapshots_replace_deltas,
            conformance_depth_tells_what_a_queue_holds,
            conformance_depth_counts_frames,
        }
        dead::{
            conformance_dead_letter_is_kept_as_it_was,
            conformance_dead_letter_tells_frame_and_reason,
            conformance_dead_letters_are_found_by_what_is_known_of_them,
            conformance_dead_letter_that_is_requeued_comes_again_as_new,
            conformance_dead_letter_goes_to_the_end_of_its_lane_or_away,
            conformance_dead_letters_whose_queue_is_full_stay,
            conformance_dead_letters_that_are_dropped_stay_in_the_books,
            conformance_dead_letters_of_notify_keep_within_a_limit,
            conformance_dead_letters_moved_with_smaller_limits_cost_no_others,
            conformance_dead_letter_that_no_queue_could_hold_stays,
        }
    }
}

// What these leave out is in the table of docs/engines.md, with the reason.

mod on_sqs_fifo {
    conformance! { crate::sqs::Fifo:
        durability::{
            conformance_q1_acknowledged_frames_survive_kill_9,
            conformance_q1_settled_frames_stay_settled_after_a_restart,
        }
        leases::{
            conformance_q2_unsettled_delivery_is_handed_out_again_after_its_lease,
            conformance_q2_leased_frame_is_not_handed_out_twice,
            conformance_q2_receive_that_is_dropped_loses_nothing,
            conformance_q3_extended_lease_lasts,
            conformance_q3_lost_lease_settles_nothing,
            conformance_q3_settled_receipt_settles_nothing_more,
        }
        order::{
            conformance_q4_lane_goes_to_one_holder_in_order,
            conformance_q4_lanes_do_not_wait_for_each_other,
            conformance_q4_retry_gives_back_all_after_it_and_holds_the_lane,
            conformance_q4_dead_lets_the_lane_go_on,
            conformance_q4_unordered_queue_hands_a_lane_to_many_holders,
            conformance_q4_unordered_retry_does_not_hold_the_others,
            conformance_q4_lanes_of_notify_are_received_by_themselves,
        }
        attempts::{
            conformance_q5_retry_counts,
            conformance_q5_later_waits_like_a_retry_but_does_not_count,
            conformance_q5_dead_letter_leaves_the_queue_and_is_counted,
        }
        entries::{
            conformance_q6_repeated_id_adds_nothing_to_an_ordered_queue,
            conformance_q6_repeated_id_in_another_queue_is_another_frame,
            conformance_q7_bytes_come_back_as_they_went_in,
            conformance_q7_too_large_is_refused_before_sending,
            conformance_q8_bad_entry_of_a_publish_fails_alone,
            conformance_q8_lost_receipt_of_a_settle_fails_alone,
            conformance_q8_fenced_commit_fails_alone,
        }
        pressure::{
            conformance_receive_wakes_on_a_publish,
            conformance_receive_wakes_on_a_publish_of_another_process,
            conformance_receive_wakes_when_a_lane_comes_free,
        }
        commits::{
            conformance_commit_consumes_publishes_and_counts,
            conformance_commit_consumes_publishes_and_buries,
            conformance_commit_with_a_lost_receipt_changes_nothing,
            conformance_state_is_numbered_and_snapshots_replace_deltas,
            conformance_depth_counts_frames,
        }
        dead::{
            conformance_dead_letter_tells_frame_and_reason,
            conformance_dead_letters_are_found_by_what_is_known_of_them,
            conformance_dead_letter_goes_to_the_end_of_its_lane_or_away,
        }
    }
}

mod on_sqs_standard {
    conformance! { crate::sqs::Standard:
        durability::{
            conformance_q1_acknowledged_frames_survive_kill_9,
            conformance_q1_settled_frames_stay_settled_after_a_restart,
        }
        leases::{
            conformance_q2_unsettled_delivery_is_handed_out_again_after_its_lease,
            conformance_q2_leased_frame_is_not_handed_out_twice,
            conformance_q3_extended_lease_lasts,
            conformance_q3_lost_lease_settles_nothing,
            conformance_q3_settled_receipt_settles_nothing_more,
        }
        order::{
            conformance_q4_unordered_queue_hands_a_lane_to_many_holders,
            conformance_q4_unordered_retry_does_not_hold_the_others,
            conformance_q4_lanes_of_notify_are_received_by_themselves,
        }
        attempts::{
            conformance_q5_retry_counts,
            conformance_q5_later_waits_like_a_retry_but_does_not_count,
            conformance_q5_dead_letter_leaves_the_queue_and_is_counted,
        }
        entries::{
            conformance_q6_repeated_id_in_another_queue_is_another_frame,
            conformance_q7_bytes_come_back_as_they_went_in,
            conformance_q7_too_large_is_refused_before_sending,
            conformance_q8_bad_entry_of_a_publish_fails_alone,
            conformance_q8_lost_receipt_of_a_settle_fails_alone,
            conformance_q8_fenced_commit_fails_alone,
            conformance_q8_fenced_commit_publishes_nothing,
        }
        pressure::{
            conformance_receive_wakes_on_a_publish,
            conformance_receive_wakes_on_a_publish_of_another_process,
        }
        commits::{
            conformance_commit_consumes_publishes_and_counts,
            conformance_commit_consumes_publishes_and_buries,
            conformance_commit_with_a_lost_receipt_changes_nothing,
            conformance_state_is_numbered_and_snapshots_replace_deltas,
            conformance_depth_counts_frames,
        }
        dead::{
            conformance_dead_letter_tells_frame_and_reason,
            conformance_dead_letters_are_found_by_what_is_known_of_them,
            conformance_dead_letter_goes_to_the_end_of_its_lane_or_away,
        }
    }
}
