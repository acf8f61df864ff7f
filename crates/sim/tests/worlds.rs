//! Worlds from many seeds keep every promise. A seed that ever failed stands here by its number.

use syncline_sim::world;

/// Seeds of one run; a longer run: `cargo run -p syncline-sim -- --seeds N`.
const SEEDS: u64 = 2_000;

#[test]
fn worlds_from_many_seeds_keep_every_promise() {
    let mut happened = world::Report::default();
    for seed in 0..SEEDS {
        match world::run(seed) {
            Ok(report) => {
                happened.changes += report.changes;
                happened.edits += report.edits;
            }
            Err(history) => panic!("{history}"),
        }
    }
    let average = happened.changes / usize::try_from(SEEDS).unwrap();
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
