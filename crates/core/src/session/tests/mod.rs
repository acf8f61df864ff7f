//! Stories that the session is held to, as text: lines with `>` are events, the others the effects
//! that must follow, `#` opens a comment. `SYNCLINE_BLESS=1` rewrites the effects: review the diff.

mod read;
mod show;

use super::{Session, Settings};
use crate::model::Millis;
use std::path::Path;

/// Plays a story and holds it against its text.
fn play(file: &str, settings: Settings) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/session/tests").join(file);
    let expected = std::fs::read_to_string(&path).unwrap();
    let actual = perform(&expected, settings);
    if std::env::var_os("SYNCLINE_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    } else {
        assert_eq!(actual, expected, "{file} went otherwise:\n{actual}");
    }
}

fn perform(script: &str, settings: Settings) -> String {
    let mut session = Session::new(settings);
    let (mut now, mut lines) = (Millis(0), Vec::new());
    for line in script.lines() {
        let Some(event) = line.strip_prefix("> ") else {
            if line.is_empty() || line.starts_with('#') {
                lines.push(line.to_owned());
            }
            continue;
        };
        lines.push(line.to_owned());
        if let Some(time) = event.strip_prefix("at ") {
            now = Millis(time.parse().unwrap());
        } else if event == "status" {
            lines.push(show::status(&session.status(now)));
        } else {
            let effects = session.handle(now, read::event(event));
            lines.extend(effects.iter().map(|effect| show::effect(effect, now)));
        }
    }
    lines.join("\n") + "\n"
}

macro_rules! stories {
    ($($name:ident: $settings:expr;)*) => {
        $(#[test] fn $name() { play(concat!(stringify!($name), ".txt"), $settings); })*
    };
}

fn polling() -> Settings {
    Settings { wait_s: None, ..Settings::default() }
}

fn manual() -> Settings {
    Settings { auto: false, ..Settings::default() }
}

stories! {
    first_load_then_pull_push_and_wait: Settings::default();
    a_cut_snapshot_resumes_from_its_last_document: Settings::default();
    a_resumed_snapshot_of_another_history_starts_over: Settings::default();
    a_write_is_pushed_at_once_beside_the_wait: Settings::default();
    a_waiting_pull_brings_a_change: Settings::default();
    a_page_during_a_push_is_stored: Settings::default();
    a_hub_that_does_not_wait_is_not_asked_in_a_loop: Settings::default();
    a_trigger_interrupts_the_wait: Settings::default();
    a_trigger_during_a_cycle_gets_the_next_one: Settings::default();
    many_batches_and_pages: Settings { push_batch_size: 2, ..Settings::default() };
    stale_answers_after_disable_and_enable: Settings::default();
    an_idle_session_without_long_poll_slows_down_and_sends_heartbeats: polling();
    activity_brings_the_interval_back: polling();
    manual_sessions_only_move_when_triggered: manual();
    what_was_lost_later_is_stored_also_without_changes: manual();
    failures_back_off_and_recovery_resets: Settings::default();
    overload_keeps_the_named_time: Settings::default();
    a_refused_token_stops_the_session: Settings::default();
    a_refused_collection_stops_only_itself: Settings::default();
    a_collection_is_refused_while_the_session_listens: Settings::default();
    every_collection_is_refused: Settings::default();
    a_trigger_asks_for_a_refused_collection_again: manual();
    a_token_that_may_not_push_goes_on_reading: Settings::default();
    a_token_that_may_not_read_goes_on_pushing: Settings::default();
    a_token_that_may_neither_read_nor_push_is_refused: Settings::default();
    resync_takes_a_snapshot_and_keeps_the_outbox: Settings::default();
    resync_twice_in_a_cycle_backs_off: Settings::default();
    a_page_of_another_epoch_is_not_stored: Settings::default();
    other_rows_are_loaded_anew: Settings::default();
    a_snapshot_of_other_rows_starts_over: Settings::default();
    a_revoked_collection_goes_away: Settings::default();
    a_push_reply_of_another_epoch_starts_over: Settings::default();
    own_changes_that_come_back_are_not_counted: Settings::default();
    a_push_is_answered_with_a_packet: polling();
    a_push_reply_moves_no_cursor: Settings::default();
    a_refused_batch_is_halved_down_to_the_op_at_fault: Settings::default();
    a_refused_transaction_is_set_aside_whole: Settings::default();
    a_waiting_pull_that_must_start_over: Settings::default();
    a_reused_batch_name_is_replaced: Settings::default();
    receipts_for_nothing_are_a_failure: Settings::default();
    more_without_progress_is_a_failure: Settings::default();
    pending_ops_without_progress_are_a_stall: Settings::default();
    collections_join_and_leave: Settings::default();
    writes_wait_for_the_next_attempt_after_a_failure: Settings::default();
    a_failing_database_backs_off: Settings::default();
}
