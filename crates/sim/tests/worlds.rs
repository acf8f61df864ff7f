//! Worlds from many seeds keep every promise. A seed that ever failed stands here by its number.

use syncline_sim::world::{self, Report};

/// Seeds of one run; a longer run: `cargo run -p syncline-sim -- --seeds N`.
const SEEDS: u64 = 2_000;

/// The same for worlds of packets: each of their requests goes through the hub's router.
const PACKET_SEEDS: u64 = 400;

#[test]
fn worlds_from_many_seeds_keep_every_promise() {
    survive(SEEDS, world::run);
}

#[test]
fn worlds_of_nodes_and_devices_from_many_seeds_keep_every_promise() {
    survive(PACKET_SEEDS, world::packets);
}

#[test]
fn worlds_of_databases_that_exchange_packets_keep_every_promise() {
    survive(PACKET_SEEDS, world::databases);
}

#[test]
fn a_hub_that_does_not_know_a_packet_again_is_caught() {
    let problem = "exactly one effect: a repeat was set aside, or lost a conflict";
    let caught = |seed| world::forgetful_packets(seed).is_err_and(|history| history.contains(problem));
    assert!((0..PACKET_SEEDS).any(caught), "the checks see what such a hub does to repeats");
}

fn survive(seeds: u64, run: impl Fn(u64) -> Result<Report, String>) {
    let mut happened = Report::default();
    for seed in 0..seeds {
        match run(seed) {
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

#[test]
fn world_157_removes_what_it_had_inserted_and_pulled() {
    world::run(157).unwrap();
}

#[test]
fn world_1582_edits_what_had_lost_before_it_was_sent() {
    world::run(1582).unwrap();
}

#[test]
fn packets_11_sends_fields_that_a_later_replacement_beats() {
    world::packets(11).unwrap();
}

#[test]
fn packets_27_learns_of_a_removal_behind_the_end_of_a_packet() {
    world::packets(27).unwrap();
}

#[test]
fn packets_13_and_144_replace_a_document_under_an_earlier_time() {
    world::packets(13).unwrap();
    world::packets(144).unwrap();
}

#[test]
fn packets_158_drops_a_row_outside_its_filter_although_the_answer_was_lost() {
    world::packets(158).unwrap();
}

#[test]
fn packets_181_inserts_again_by_a_slow_clock_what_it_had_deleted() {
    world::packets(181).unwrap();
}

#[test]
fn packets_1489_deletes_the_same_object_twice_in_a_packet_composed_anew() {
    world::packets(1489).unwrap();
}

#[test]
fn packets_1748_is_told_of_a_document_between_two_of_its_replacements() {
    world::packets(1748).unwrap();
}

#[test]
fn packets_2134_makes_an_object_again_that_is_replaced_before_its_answer_arrives() {
    world::packets(2134).unwrap();
}

#[test]
fn packets_2523_stores_an_answer_between_removing_an_object_and_making_it_again() {
    world::packets(2523).unwrap();
}

#[test]
fn packets_8647_deletes_again_what_it_made_again_and_could_not_send() {
    world::packets(8647).unwrap();
}

#[test]
fn packets_8687_is_registered_after_a_removal_that_beats_what_it_sends() {
    world::packets(8687).unwrap();
}

#[test]
fn packets_36854_sends_again_in_vain_what_it_had_removed_under_a_filter() {
    world::packets(36854).unwrap();
}

#[test]
fn databases_112_sends_in_vain_what_was_removed_under_a_filter() {
    world::databases(112).unwrap();
}

#[test]
fn databases_1228_brings_back_what_was_replaced_and_removed_meanwhile() {
    world::databases(1228).unwrap();
}

#[test]
fn databases_3717_clears_makes_again_and_removes_before_it_sends() {
    world::databases(3717).unwrap();
}
