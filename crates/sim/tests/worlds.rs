//! Worlds from many seeds keep every promise. A seed that ever failed stands here by its number.

use syncline_sim::world::{Kind, Report, Run};

/// Seeds of one run; a longer run: `cargo run -p syncline-sim -- --seeds N`.
const SEEDS: u64 = 1_200;

/// The same for worlds of troubles: they last three times as long.
const TROUBLE_SEEDS: u64 = 120;

/// The same for worlds whose databases are files, and for those of clients that go through the hub's router.
const COPY_SEEDS: u64 = 40;

/// The same for worlds of packets: each of their requests goes through the hub's router.
const PACKET_SEEDS: u64 = 400;

#[test]
fn worlds_from_many_seeds_keep_every_promise() {
    survive(SEEDS, Kind::Devices);
}

#[test]
fn worlds_of_nodes_and_devices_from_many_seeds_keep_every_promise() {
    survive(PACKET_SEEDS, Kind::Packets);
}

#[test]
fn worlds_of_databases_that_exchange_packets_keep_every_promise() {
    survive(PACKET_SEEDS, Kind::Databases);
}

#[test]
fn worlds_of_copied_databases_keep_every_promise() {
    survive(COPY_SEEDS, Kind::Copies);
}

#[test]
fn worlds_of_foreign_clients_keep_every_promise() {
    survive(COPY_SEEDS, Kind::Foreign);
}

#[test]
fn worlds_of_rules_and_rows_keep_every_promise() {
    survive(COPY_SEEDS, Kind::Rows);
}

#[test]
fn worlds_of_event_sync_keep_every_promise() {
    survive(COPY_SEEDS, Kind::Live);
}

#[test]
fn worlds_of_troubles_keep_every_promise() {
    survive(TROUBLE_SEEDS, Kind::Troubles);
}

#[test]
fn the_same_seed_gives_the_same_history_in_every_world() {
    for kind in Kind::ALL {
        for seed in 0..5 {
            Run::of(kind, seed).play_twice().unwrap_or_else(|story| panic!("{story}"));
        }
    }
}

fn survive(seeds: u64, kind: Kind) {
    let mut happened = Report::default();
    for seed in 0..seeds {
        match Run::of(kind, seed).play() {
            Ok(report) => {
                happened.changes += report.changes;
                happened.edits += report.edits;
            }
            Err(history) => panic!("{history}"),
        }
    }
    let average = happened.changes / usize::try_from(seeds).expect("few seeds");
    assert!(average >= 5, "worlds in which nothing happens prove nothing: {happened:?}");
}

fn kept(kind: Kind, seed: u64) {
    Run::of(kind, seed).play().unwrap_or_else(|story| panic!("{story}"));
}

#[test]
fn troubles_106_is_restored_from_a_backup_and_says_what_waits_again() {
    kept(Kind::Troubles, 106);
}

#[test]
fn troubles_300_does_not_call_it_a_stall_when_ops_have_just_begun_to_wait_again() {
    kept(Kind::Troubles, 300);
}

#[test]
fn copies_20040_offers_what_two_databases_hold_under_the_same_name_from_both() {
    kept(Kind::Copies, 20_040);
}

#[test]
fn copies_20223_sends_from_two_databases_what_a_restoration_has_taken_away() {
    kept(Kind::Copies, 20_223);
}

#[test]
fn copies_303631_shows_the_whole_document_of_which_a_clear_took_less_at_the_hub() {
    kept(Kind::Copies, 303_631);
}

#[test]
fn troubles_309991_is_looked_at_between_a_crash_and_the_next_start() {
    kept(Kind::Troubles, 309_991);
}

#[test]
fn troubles_323818_sees_again_what_a_clear_has_hidden_of_an_own_edit() {
    kept(Kind::Troubles, 323_818);
}

#[test]
fn copies_200235_gives_up_a_part_of_a_transaction_that_a_copy_still_sends() {
    kept(Kind::Copies, 200_235);
}

#[test]
fn foreign_20011_edits_what_was_removed_and_forgotten_until_the_client_starts_again() {
    kept(Kind::Foreign, 20_011);
}

#[test]
fn foreign_148_inserts_twice_behind_one_removal() {
    kept(Kind::Foreign, 148);
}

#[test]
fn foreign_301598_makes_a_document_anew_that_a_client_still_has_and_whose_removal_is_forgotten() {
    kept(Kind::Foreign, 301_598);
}

#[test]
fn foreign_307390_sends_an_insert_when_the_removal_that_came_before_it_is_forgotten() {
    kept(Kind::Foreign, 307_390);
}

#[test]
fn live_400053_is_refused_a_row_when_its_connection_ends_with_a_message_in_doubt() {
    kept(Kind::Live, 400_053);
}

#[test]
fn live_400040_writes_what_it_does_not_see_and_others_change_before_a_hub_that_began_anew_tells_it() {
    kept(Kind::Live, 400_040);
}

#[test]
fn live_601066_writes_what_is_on_its_way_to_it_when_more_was_sent_since() {
    kept(Kind::Live, 601_066);
}

#[test]
fn live_602037_and_602285_write_what_waits_long_for_their_next_poll() {
    kept(Kind::Live, 602_037);
    kept(Kind::Live, 602_285);
}

#[test]
fn live_800915_comes_before_the_first_change_and_keeps_the_log() {
    kept(Kind::Live, 800_915);
}

#[test]
fn live_733037_brings_a_document_into_its_sight_of_which_it_has_an_older_one() {
    kept(Kind::Live, 733_037);
}

#[test]
fn world_157_removes_what_it_had_inserted_and_pulled() {
    kept(Kind::Devices, 157);
}

#[test]
fn world_1582_edits_what_had_lost_before_it_was_sent() {
    kept(Kind::Devices, 1582);
}

#[test]
fn packets_11_sends_fields_that_a_later_replacement_beats() {
    kept(Kind::Packets, 11);
}

#[test]
fn packets_27_learns_of_a_removal_behind_the_end_of_a_packet() {
    kept(Kind::Packets, 27);
}

#[test]
fn packets_13_and_144_replace_a_document_under_an_earlier_time() {
    kept(Kind::Packets, 13);
    kept(Kind::Packets, 144);
}

#[test]
fn packets_158_drops_a_row_outside_its_filter_although_the_answer_was_lost() {
    kept(Kind::Packets, 158);
}

#[test]
fn packets_181_inserts_again_by_a_slow_clock_what_it_had_deleted() {
    kept(Kind::Packets, 181);
}

#[test]
fn packets_1489_deletes_the_same_object_twice_in_a_packet_composed_anew() {
    kept(Kind::Packets, 1489);
}

#[test]
fn packets_1748_is_told_of_a_document_between_two_of_its_replacements() {
    kept(Kind::Packets, 1748);
}

#[test]
fn packets_2134_makes_an_object_again_that_is_replaced_before_its_answer_arrives() {
    kept(Kind::Packets, 2134);
}

#[test]
fn packets_2523_stores_an_answer_between_removing_an_object_and_making_it_again() {
    kept(Kind::Packets, 2523);
}

#[test]
fn packets_8647_deletes_again_what_it_made_again_and_could_not_send() {
    kept(Kind::Packets, 8647);
}

#[test]
fn packets_8687_is_registered_after_a_removal_that_beats_what_it_sends() {
    kept(Kind::Packets, 8687);
}

#[test]
fn packets_36854_sends_again_in_vain_what_it_had_removed_under_a_filter() {
    kept(Kind::Packets, 36854);
}

#[test]
fn packets_321223_is_refused_a_row_and_given_another_plan_before_it_hears_of_it() {
    kept(Kind::Packets, 321_223);
}

#[test]
fn databases_112_sends_in_vain_what_was_removed_under_a_filter() {
    kept(Kind::Databases, 112);
}

#[test]
fn databases_323697_brings_back_what_it_had_removed_in_a_packet_before() {
    kept(Kind::Databases, 323_697);
}

#[test]
fn databases_1228_brings_back_what_was_replaced_and_removed_meanwhile() {
    kept(Kind::Databases, 1228);
}

#[test]
fn databases_3717_clears_makes_again_and_removes_before_it_sends() {
    kept(Kind::Databases, 3717);
}
