//! What the checks of the worlds are worth: bugs that sync engines are known for are planted, and each is caught within
//! a few seeds by the check of the promise that it breaks; the same worlds without it keep every promise.

use syncline_sim::world::{Bug, Kind, Run};

/// Seeds after the first one in which a bug must be caught.
const SEEDS: u64 = 3;

/// A bug, where it is caught, and the promise that the check names.
struct Caught {
    bug: Bug,
    kind: Kind,
    from: u64,
    promise: &'static str,
}

fn caught(bug: Bug, kind: Kind, from: u64, promise: &'static str) -> Caught {
    Caught { bug, kind, from, promise }
}

fn planted() -> Vec<Caught> {
    use Bug::*;
    let troubles = |bug, from, promise| caught(bug, Kind::Troubles, from, promise);
    vec![
        troubles(ReceiptForgotten, 0, "exactly one effect"),
        troubles(KnownByBatchOnly, 0, "exactly one effect"),
        troubles(FailureSwallowed, 11, "durable"),
        troubles(AnsweredTooEarly, 5, "durable"),
        troubles(LsnOutsideLock, 0, "gap-free"),
        troubles(PageSaysHead, 0, "gap-free"),
        troubles(HintForLog, 0, "gap-free"),
        troubles(CursorByPush, 0, "convergent"),
        troubles(TwoTransactions, 5, "convergent"),
        troubles(SnapshotTwoReads, 0, "gap-free"),
        troubles(TrimmedTooEarly, 1, "gap-free"),
        troubles(OldEpochKept, 24, "convergent"),
        troubles(LedgerRowForgotten, 1, "nothing lost"),
        troubles(QuarantineRowForgotten, 15, "nothing lost"),
        troubles(RebaseForgotten, 0, "nothing lost"),
        troubles(TransactionSplit, 0, "in one transaction"),
        troubles(ClampMissing, 3, "ahead of the hub's clock"),
        troubles(RetriesAtOnce, 0, "bounded"),
        troubles(ScopeIgnored, 2, "isolated"),
        troubles(PoisonBlocks, 2, "never blocked"),
        troubles(StallHidden, 1, "truthful status"),
        troubles(RestoredTwice, 1, "exactly one effect"),
        caught(ResumedFromLast, Kind::Rows, 13, "convergent"),
        caught(RuleIgnored, Kind::Rows, 0, "rules"),
        caught(RowsIgnored, Kind::Rows, 0, "isolated"),
        caught(RowsIgnored, Kind::Live, 2, "isolated"),
        caught(CopyNotSeen, Kind::Copies, 0, "nothing lost"),
        caught(TicketIgnored, Kind::Foreign, 1, "convergent: client"),
        caught(ForeignOpForgotten, Kind::Foreign, 0, "exactly one effect"),
        caught(PacketForgotten, Kind::Packets, 2, "exactly one effect: a repeat was set aside, or lost a conflict"),
    ]
}

#[test]
fn planted_bugs_are_caught_by_the_check_of_their_promise() {
    let escaped = |it: &Caught| {
        let stories = (it.from..it.from + SEEDS).filter_map(|seed| Run::of(it.kind, seed).with(it.bug).play().err());
        !stories.into_iter().any(|story| story.contains(it.promise))
    };
    let escaped: Vec<Bug> = planted().into_iter().filter(escaped).map(|it| it.bug).collect();
    assert!(
        escaped.is_empty(),
        "each must be caught within {SEEDS} seeds by the promise that stands beside it: {escaped:?}"
    );
}

#[test]
fn the_same_worlds_without_the_bugs_keep_every_promise() {
    let mut worlds: Vec<(&str, u64)> = Vec::new();
    for Caught { kind, from, .. } in planted() {
        for seed in from..from + SEEDS {
            if !worlds.contains(&(kind.name(), seed)) {
                worlds.push((kind.name(), seed));
                Run::of(kind, seed).play().unwrap_or_else(|story| panic!("{story}"));
            }
        }
    }
}

#[test]
fn the_story_of_a_broken_promise_can_be_read() {
    let story = Run::of(Kind::Troubles, 1).with(Bug::LedgerRowForgotten).play().expect_err("a row is missing");
    let expected = [
        "world `troubles`, seed 1, with the planted bug `ledger-row-forgotten`",
        "nothing lost: [\"d1e8.\"",
        "written by device 1, must be in the log, the ledger or the quarantine, and are nowhere",
        " ms  device 1: ",
        "play it again: cargo run -p syncline-sim -- --world troubles --seed 1 --bug ledger-row-forgotten",
    ];
    for words in expected {
        assert!(story.contains(words), "`{words}` is missing in:\n{story}");
    }
    assert!(story.lines().count() < 90, "a person reads it to its end: {} lines", story.lines().count());
    assert!(story.lines().all(|line| line.chars().count() < 500), "no line is longer than a person can read");
}

#[test]
fn the_page_on_reliability_names_every_world_and_every_bug_that_is_caught() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability.md"));
    let page = page.expect("the guide is there");
    let caught: Vec<Bug> = planted().into_iter().map(|it| it.bug).collect();
    let missing: Vec<String> = Bug::ALL.into_iter().filter(|bug| !caught.contains(bug)).map(Bug::name).collect();
    assert!(missing.is_empty(), "nothing catches {missing:?}");
    let names = Bug::ALL.map(Bug::name).into_iter().chain(Kind::ALL.map(|kind| kind.name().to_owned()));
    let unnamed: Vec<String> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(unnamed.is_empty(), "the page says nothing of {unnamed:?}");
}
