//! What clients send, damaged: frames, packets and bodies are read or refused with a reason, wherever they were cut, and
//! nothing grows beyond what came in.

use super::connection::Connection;
use super::frame::tests::{masked, read_all};
use super::frame::{self, Arrived, Frames};
use super::packet::{self, Packet};
use super::rules::Rules;
use super::{polling, session::Session, session::Transport, sid::Sid};
use crate::app::App;
use crate::http::open;
use crate::options::Options;
use crate::store::MemoryStore;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use syncline_core::mutation::{damaged, damaged_text};
use tokio::runtime::Runtime;

const PACKETS: [&str; 8] = [
    "40{\"token\":\"a\",\"space\":\"main\"}",
    "40/admin,{}",
    "41",
    "4217[\"client:sync\",[{\"id\":\"e1\",\"type\":\"insert\"}]]",
    "42[\"files:join\",{\"ts\":1}]\u{1e}3\u{1e}42[\"é\"]",
    "451-7[\"a\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAAA=",
    "439223372036854775807[1]",
    "2",
];

static HUB: LazyLock<(Runtime, Arc<App>)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(open(Arc::new(MemoryStore::default()), Options::default())).unwrap();
    (runtime, app)
});

fn frames() -> Vec<Vec<u8>> {
    let text = |n: usize| masked(0x81, PACKETS[n].as_bytes());
    let parts = [masked(0x01, b"42[\"a"), masked(0x89, b"?"), masked(0x80, b"\"]")].concat();
    let long = masked(0x82, &[7; 300]);
    vec![text(0), [text(3), long, text(5)].concat(), [parts, masked(0x88, &[3, 232])].concat()]
}

proptest! {
    #[test]
    fn frames_say_the_same_wherever_they_are_cut(input in damaged(frames()), step in 1..40usize) {
        let rules = Rules::of(8, 1 << 10, 1 << 10);
        let whole = read_all(&input, input.len().max(1), &rules);
        prop_assert_eq!(&read_all(&input, step, &rules), &whole);
        for arrived in whole.into_iter().flatten() {
            let held = match arrived {
                Arrived::Text(text) => text.len(),
                Arrived::Ping(content) => content.len(),
                Arrived::Binary | Arrived::Goodbye => 0,
            };
            prop_assert!(held <= input.len());
        }
        let mut frames = Frames::default();
        let _ = frames.read(&input, &rules);
        drop(frames);
        prop_assert_eq!(rules.body_bytes.available_permits(), 1 << 10);
    }

    #[test]
    fn a_packet_is_read_or_refused_with_a_reason(text in damaged_text(&PACKETS)) {
        match Packet::read(&text) {
            Ok(Packet::Event(event)) => prop_assert!(event.list.starts_with('[') && text.ends_with(event.list)),
            Ok(Packet::Connect { namespace, auth }) => prop_assert!(namespace.starts_with('/') && text.ends_with(auth)),
            Ok(_) => {}
            Err(farewell) => prop_assert!(farewell.is_fault() && !farewell.why.is_empty()),
        }
    }

    #[test]
    fn a_body_harms_nobody(body in damaged_text(&PACKETS)) {
        let (runtime, app) = &*HUB;
        let _inside = runtime.enter();
        let hall = &app.door.hall;
        let session = Session::new(Sid::draw().unwrap(), Transport::Polling, &hall.rules, None);
        let session = Arc::new(Connection::new(session, None));
        if let Err(farewell) = polling::take_in_all(hall, &session, &body) {
            prop_assert!(!farewell.why.is_empty());
        }
        session.vacate();
    }

    #[test]
    fn what_the_hub_says_is_whole_frames(namespace in ".{0,300}", why in ".{0,300}") {
        let said = packet::refused(&namespace, &why);
        let contents: Vec<_> = frame::contents(&said).collect();
        prop_assert_eq!(contents.len(), 1);
        prop_assert!(contents[0].1.starts_with(b"44"));
    }
}
