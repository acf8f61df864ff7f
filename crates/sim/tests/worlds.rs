//! Worlds from many seeds keep every promise. A seed that ever failed stands here by its number.

use syncline_sim::world;

/// Seeds of one run; a longer run: `cargo run -p syncline-sim -- --seeds N`.
const SEEDS: u64 = 300;

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
