//! What a node sends again in other words: repeats are known, and nothing that may be new is passed over.

use super::*;

#[test]
fn a_packet_composed_anew_brings_what_is_new_in_it() {
    let mut space = Space::new();
    let (removal, late) = (delete("x"), insert("y", r#"{"v":1}"#, 30));
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("a", 2, 0, vec![removal.clone()]));
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":2}"#, 1_000_001)]));
    space.news();
    space.take(packet("a", 2, 0, vec![removal.clone(), late.clone()]));
    assert_eq!(space.news(), "a y", "the removal does not undo the revival");
    space.take(packet("a", 2, 0, vec![insert("z", r#"{"v":1}"#, 30)]));
    assert_eq!(space.news(), "a z", "copies may overtake each other");
    space.take(packet("a", 2, 0, vec![removal.clone(), late.clone(), update("y", r#"{"v":2}"#, 31)]));
    assert_eq!(space.news(), "a y, a gets y");
    space.take(packet("a", 3, 0, vec![removal, late]));
    assert_eq!((space.news().as_str(), space.text("x").is_some()), ("", true), "nor under the next number");
}

#[test]
fn copies_of_one_number_may_overtake_each_other_and_their_sender_hears_what_stands() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("a", 2, 0, vec![update("x", r#"{"v":3}"#, 30)]));
    space.news();
    space.take(packet("a", 2, 0, vec![update("x", r#"{"v":2}"#, 20)]));
    assert_eq!((space.news().as_str(), space.text("x")), ("a gets x", Some(r#"{"_id":"x","v":3}"#)), "an older one");
    space.take(packet("a", 2, 0, vec![update("x", r#"{"v":4}"#, 40)]));
    assert_eq!(
        (space.news().as_str(), space.text("x")),
        ("a x, a gets x", Some(r#"{"_id":"x","v":4}"#)),
        "a newer one"
    );
    space.take(packet("a", 2, 0, vec![delete("x")]));
    assert_eq!((space.news().as_str(), space.text("x")), ("a x, a gets x", None), "without a time nobody can tell");
}

#[test]
fn the_same_change_with_news_in_between_is_a_new_one() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("a", 2, 0, vec![delete("x")]));
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":2}"#, 1_000_001)]));
    let number = space.send("a");
    space.now = 1_000_002;
    space.take(packet("a", 3, number, vec![delete("x")]));
    assert_eq!(space.text("x"), None);
}

#[test]
fn what_a_packet_does_twice_is_done_twice_when_it_is_composed_anew() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("a", 2, 0, vec![delete("x"), insert("x", r#"{"v":2}"#, 20)]));
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":2}"#));
    space.take(packet("a", 2, 0, vec![delete("x"), insert("x", r#"{"v":2}"#, 20), delete("x")]));
    assert_eq!(space.text("x"), None, "the second deletion is no repeat of the first");
}

#[test]
fn a_removal_behind_a_new_birth_is_no_repeat_of_one_in_the_packet_before() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("a", 2, 0, vec![delete("x")]));
    space.take(packet("a", 3, 0, vec![insert("x", r#"{"v":2}"#, 999_000), delete("x")]));
    assert_eq!(space.text("x"), None);
}

#[test]
fn a_removal_that_was_there_before_what_made_its_object_again_is_told_or_done_and_never_passed_over() {
    let again = || vec![delete("x"), insert("x", r#"{"v":2}"#, 30)];
    let begun = || {
        let mut space = Space::new();
        space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
        space.take(packet("a", 2, 0, again()));
        space.news();
        space
    };
    let mut space = begun();
    space.take(packet("a", 2, 0, vec![delete("x")]));
    assert_eq!((space.news().as_str(), space.text("x").is_some()), ("a gets x", true), "late, or removed once more");

    let mut space = begun();
    space.take(packet("a", 3, 0, vec![delete("x")]));
    assert_eq!((space.news().as_str(), space.text("x")), ("a x", None), "a higher number is not late");

    let mut space = begun();
    space.take(packet("a", 3, 0, [again(), vec![insert("y", "{}", 30)]].concat()));
    assert_eq!(space.news(), "a y", "what stands as it was sent is a repeat");
}

#[test]
fn a_change_without_a_time_to_what_was_before_is_told_or_done() {
    let set = |v: u64| {
        let sent = sent("x", &format!(r#"{{"v":{v}}}"#));
        entity("x", EntityEdit::Put { collection: reports(), insert: false, sent, unset: BTreeSet::new() }, None)
    };
    for (number, news, v) in [(2, "a y, a gets x", 2), (3, "a x, a y", 1)] {
        let mut space = Space::new();
        space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":0}"#, 10)]));
        space.take(packet("a", 2, 0, vec![set(1)]));
        space.take(packet("a", 2, 0, vec![set(2)]));
        space.news();
        space.take(packet("a", number, 0, vec![set(1), insert("y", "{}", 30)]));
        let stands = format!(r#"{{"_id":"x","v":{v}}}"#);
        assert_eq!((space.news().as_str(), space.text("x")), (news, Some(stands.as_str())));
    }
}

#[test]
fn a_repeat_in_whose_place_the_work_of_others_stands_is_not_done_again() {
    let by = |author| Mark { stamp: Stamp::at(Millis(10)), lsn: Lsn(1), author: Author(author) };
    let edit = insert("x", r#"{"v":1}"#, 0).edit;
    let undone = |text: &str, whole: u32, v: Option<u32>| {
        let fields = v.map(|author| ("v".to_owned(), by(author)));
        let meta = Meta { fields: fields.into_iter().collect(), ..Meta::inserted(by(whole)) };
        let version = Version { lsn: Lsn(1), author: Author(1), body: Body::trusted(text), meta };
        crate::hub::exchange::is_undone(&edit, &version, Author(1))
    };
    assert!(undone(r#"{"_id":"x","v":2}"#, 1, None));
    assert!(undone(r#"{"_id":"x","v":2}"#, 2, Some(1)));
    assert!(undone(r#"{"_id":"x"}"#, 2, Some(1)), "taken away by itself");
    assert!(!undone(r#"{"_id":"x","v":1}"#, 1, None));
    assert!(!undone(r#"{"_id":"x","v":2}"#, 2, None));
    assert!(!undone(r#"{"_id":"x"}"#, 1, Some(2)));
    assert!(!undone(r#"{"_id":"x"}"#, 1, None), "who took it away without a trace nobody knows (seed 201126)");
}

#[test]
fn a_node_that_comes_back_to_an_earlier_packet_of_its_number_hears_what_stands() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    let removal = packet("a", 2, 0, vec![delete("x")]);
    space.take(removal.clone());
    space.news();
    space.take(removal.clone());
    assert_eq!(space.news(), "", "its last one again says nothing new");
    space.take(packet("a", 2, 0, vec![insert("x", r#"{"v":2}"#, 1_000_001)]));
    space.news();
    space.take(removal);
    assert_eq!(space.news(), "a gets x", "it may have removed the document once more");
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":2}"#), "or the packet was only late");
}

#[test]
fn a_node_that_removes_and_makes_again_in_one_packet_hears_what_stands_unless_it_takes_whole_objects() {
    let entities = || vec![delete("x"), insert("x", r#"{"w":1}"#, 1_000_001)];
    for (whole_objects, news) in [(false, "a x, a x, a gets x"), (true, "a x, a x")] {
        let mut space = Space::new();
        space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
        space.news();
        space.take(Packet { whole_objects, ..packet("a", 2, 0, entities()) });
        assert_eq!(space.news(), news);
    }
}
