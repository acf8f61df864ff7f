//! What every store must do, as stories that each engine passes ([`store_contract!`](crate::store_contract)).
//! Nothing here knows the engine: a store is opened, used and, where the engine keeps anything,
//! closed and opened again. There are no capability flags and no story is skipped.

mod commits;
mod concurrency;
mod exchange;
mod exchange_vectors;
mod lists;
mod live;
mod pen;
mod repeats;
mod scans;
mod spaces;
mod trims;
mod unique;

pub use commits::*;
pub use concurrency::*;
pub use exchange::*;
pub use exchange_vectors::*;
pub use lists::*;
pub use live::*;
pub use repeats::*;
pub use scans::*;
pub use spaces::*;
pub use trims::*;
pub use unique::*;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use syncline_server::store::Store;

/// A store under test.
pub type AnyStore = Arc<dyn Store>;

/// How the suite gets at a store that starts out empty.
pub trait Bench: Send + Sync {
    /// The store, open.
    fn store(&self) -> AnyStore;

    /// Closes the store and opens what it left behind. Engines that keep nothing return themselves.
    fn reopen(&self, store: AnyStore) -> Pin<Box<dyn Future<Output = AnyStore> + Send + '_>>;
}

/// Makes a test module that runs every story on an engine: `store_contract!(memory, MemoryBench::new())`.
#[macro_export]
macro_rules! store_contract {
    ($engine:ident, $bench:expr) => {
        $crate::store_contract!(@stories $engine, $bench,
            lsns_are_in_order_without_gaps,
            heads_follow_updates_removals_and_returns,
            a_whole_collection_is_loaded_live,
            a_panicking_decision_writes_nothing,
            a_gap_in_the_write_set_writes_nothing,
            versions_come_back_as_written,
            rules_are_loaded_as_they_are_set,
            values_that_are_unique_are_known_from_the_moment_of_the_rule,
            who_has_a_value_is_answered_before_anything_is_written,
            a_document_whose_time_is_over_has_no_unique_value,
            an_index_of_unique_values_survives_a_failed_commit,
            batches_are_known_by_node,
            foreign_ops_are_known_by_key,
            receipts_are_loaded_by_number,
            nodes_keep_their_numbers,
            nodes_belong_to_tokens,
            a_log_scan_returns_every_change,
            a_log_scan_stops_at_its_limits,
            rows_left_out_do_not_count,
            a_page_of_little_ends_all_the_same,
            a_log_scan_shows_what_stood_before,
            a_net_scan_returns_each_document_once,
            a_brief_net_scan_has_the_metas_that_matter,
            a_snapshot_returns_live_documents,
            a_snapshot_resumes_after_a_position,
            tickets_are_seen_by_nobody_else,
            scattered_documents_are_found,
            a_scan_ends_when_nobody_listens,
            a_trim_forgets_what_is_superseded,
            a_trim_forgets_tombstones_and_tickets,
            readers_behind_the_horizon_are_told,
            the_horizon_never_passes_the_last_change,
            receipts_are_kept_for_their_time,
            what_was_answered_is_remembered_number_by_number,
            the_ledger_and_the_quarantine_are_kept_for_their_time,
            the_ledger_is_listed_in_pages,
            late_losses_are_found_by_their_author,
            the_quarantine_is_listed_in_pages,
            kept_rows_are_decided_about_one_by_one,
            documents_are_read_by_their_places,
            expired_documents_are_listed_in_order,
            cursors_are_noted,
            records_are_kept_by_kind,
            registrations_are_kept,
            traffic_comes_back_as_written,
            what_a_node_holds_is_kept,
            a_packet_leaves_out_own_changes,
            returns_reach_only_their_node,
            returns_are_found_by_name,
            returns_take_fields_away,
            a_fill_tells_own_documents_wherever_they_are_logged,
            a_packet_stops_at_its_limits,
            a_trim_forgets_returns,
            removals_are_remembered_for_registered_nodes,
            the_recorded_exchange_comes_out,
            a_live_client_is_owed_what_it_could_not_know,
            a_live_event_counts_once,
            a_silent_live_client_is_forgotten_when_nothing_names_it,
            unknown_spaces_are_refused,
            spaces_are_isolated,
            reopening_keeps_everything,
            concurrent_commits_take_their_turns,
            a_snapshot_is_one_moment_of_a_busy_space,
        );
    };
    (@stories $engine:ident, $bench:expr, $($story:ident,)+) => {
        mod $engine {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    $crate::contract::$story(&$bench).await;
                }
            )+
        }
    };
}
