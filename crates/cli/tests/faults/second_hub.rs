//! One data directory, one hub.

use crate::history::{Deed, Log};
use crate::hub::{Hub, SYNCLINE};
use crate::node::Node;
use std::process::Command;

#[test]
fn a_second_hub_on_the_same_data_is_refused_and_the_first_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::start(&data);
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Insert, "notes", "before");
    node.push().unwrap();

    let refusal = Hub::try_spawn(Command::new(SYNCLINE), &data).err().expect("the second hub is refused");
    assert!(refusal.contains("another hub runs on this data directory") && refusal.contains(&hub.address), "{refusal}");

    node.write(Deed::Insert, "notes", "after");
    node.push().unwrap();
    Log::read(&hub.address).judge(node.notes());

    hub.kill();
    let heir = Hub::start(&data);
    Log::read(&heir.address).judge(node.notes());
}
