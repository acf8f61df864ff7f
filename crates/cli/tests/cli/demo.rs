//! The demo tells the truth: it ends well only after a proof.

use crate::shell::Shell;

#[test]
fn the_demo_converges_with_one_conflict_and_one_crash() {
    let shell = Shell::new();
    let told = shell.json(&["demo"]);
    assert_eq!(told["converged"], true);
    let titles: Vec<&str> =
        told["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert!(titles.contains(&"A conflict") && titles.contains(&"A crash in the middle"), "{titles:?}");
    let lost = &told["conflicts"][0];
    assert_eq!((lost["loser"].as_str(), lost["losing"]["title"].as_str()), (Some("laptop"), Some("Buy oat milk")));
    let milk = told["documents"].as_array().unwrap().iter().find(|document| document["_id"] == "milk").unwrap();
    assert_eq!((milk["title"].as_str(), &milk["done"]), (Some("Buy milk and bread"), &true.into()));
}

#[test]
fn the_demo_is_told_in_steps() {
    let told = Shell::new().ok(&["demo"]);
    for part in ["1. ", "Offline", "conflict ledger", "hold exactly the same"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\x1b'), "colours are for terminals");
}
