//! SIGTERM while nodes push: what the hub took in is answered, the rest is not there.

use crate::eventually::eventually;
use crate::history::{Answer, Deed, Log, converged};
use crate::hub::Hub;
use crate::load::{Load, Patience};

#[test]
fn a_stopping_hub_answers_what_it_accepted_and_ends_with_success() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let hub = Hub::start(&data);
    let load = Load::start(&hub.address, 6, 11, Patience::None);
    eventually("nodes get receipts", || (load.receipts() > 150).then_some(()));

    hub.signal("TERM");
    let (status, log) = hub.ended();
    let sent = load.finish();
    assert_eq!(status.code(), Some(0), "{log}");

    let hub = Hub::start(&data);
    let kept = Log::read(&hub.address);
    kept.judge(&sent);
    let unanswered = sent.iter().filter(|op| op.answer == Answer::None && op.deed != Deed::Remove);
    for op in unanswered {
        assert!(!kept.shows(&op.mark), "took effect and was not answered: {op:?}\n{log}");
    }
    converged(&hub.address, &[]);
}
