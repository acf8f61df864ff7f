//! What a node is told of its own entities: what stands otherwise than it was sent, and what it may not know.

use super::*;

#[test]
fn what_stands_otherwise_than_sent_returns_to_its_sender() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1,"w":1}"#, 10)]));
    assert_eq!(space.news(), "a x", "as it was sent");
    space.take(packet("a", 2, 0, vec![update("x", r#"{"v":2}"#, 20)]));
    assert_eq!(space.news(), "a x, a gets x", "merged with a field that it did not hold");
    space.take(packet("b", 1, 0, vec![update("x", r#"{"v":0}"#, 15)]));
    assert_eq!(space.news(), "b gets x", "it lost");
    space.take(packet("b", 2, 0, vec![update("x", r#"{"v":3,"w":3}"#, 30)]));
    assert_eq!(space.news(), "b x, b gets x", "it met a change that its sender had not seen");
    space.send("b");
    space.take(packet("b", 3, 1, vec![update("x", r#"{"v":4,"w":4}"#, 40)]));
    assert_eq!(space.news(), "b x");
    space.take(packet("b", 4, 1, vec![update("x", r#"{"v":5}"#, 50), update("x", r#"{"w":5}"#, 51)]));
    assert_eq!(space.news(), "b x, b x, b gets x", "once");
}

#[test]
fn a_node_that_sets_fields_by_name_is_told_which_of_its_own_are_not_there() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("b", 1, 0, vec![delete("x"), insert("x", r#"{"w":1}"#, 10)]));
    space.news();
    space.take(packet("a", 2, 0, vec![update("x", r#"{"v":2}"#, 20)]));
    assert_eq!((space.news().as_str(), space.text("x")), ("a gets x -v", Some(r#"{"_id":"x","w":1}"#)));
    space.take(packet("b", 2, 0, vec![delete("x")]));
    space.news();
    space.take(packet("a", 3, 0, vec![update("x", r#"{"v":3,"z":3}"#, 30)]));
    assert_eq!(space.news(), "a gets x -v -z", "somebody may bring it back before the node hears of the removal");
    let whole = Packet { whole_objects: true, ..packet("a", 4, 0, vec![update("x", r#"{"v":4}"#, 40)]) };
    space.take(whole);
    assert_eq!(space.news(), "a gets x", "whoever takes whole objects keeps nothing else");
}

#[test]
fn the_centre_as_master_tells_the_sender_what_stands() {
    let mut space = Space::new();
    space.state.rules.insert(reports(), server_wins());
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("b", 1, 0, vec![update("x", r#"{"v":2}"#, 20)]));
    assert_eq!((space.news().as_str(), space.text("x")), ("a x, b gets x", Some(r#"{"_id":"x","v":1}"#)));
}

#[test]
fn a_node_of_whole_objects_is_told_what_its_update_has_brought_back() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("b", 2, 0, vec![delete("x")]));
    space.news();
    let update = vec![update("x", r#"{"v":2}"#, 5_000)];
    space.take(Packet { whole_objects: true, ..packet("a", 1, 0, update) });
    assert_eq!(space.news(), "a x, a gets x", "it has put its update on a text of its own");
}

#[test]
fn a_new_node_whose_edit_lost_to_a_removal_is_told_of_removals_while_it_is_filled() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10), delete("x")]));
    space.state.traffic.insert(node("a"), Traffic::new(space.state.head));
    let again = |taken: Taken| taken.reached.fill.unwrap().again;
    assert!(!again(space.take(packet("a", 1, 0, vec![insert("y", r#"{"v":1}"#, 10)]))));
    assert!(again(space.take(packet("a", 2, 0, vec![insert("x", r#"{"w":1}"#, 10)]))));
}
