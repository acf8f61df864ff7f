//! Answers of a hub, damaged on their way or by what stands between: they are read or are a failure in words, and nothing
//! that was not in them comes out.

use super::api::ApiReply;
use super::packet;
use super::reply::{SnapshotReader, content, refusal};
use crate::replica::Ends;
use proptest::prelude::*;
use proptest::sample::Index;
use syncline_core::model::{NodeId, Page, PushReply};
use syncline_core::mutation::{damaged, seeds_in};
use syncline_core::session::{Answer, Failure};

const PAGE: &str = r#"{"epoch":"e","server_lsn":9,"has_more":false,"ops":[
    {"op":"put","lsn":1,"collection":"notes","id":"x","stamp":1024,"author":1,"doc":{"_id":"x","n":1}},
    {"op":"remove","lsn":3,"collection":"notes","id":"x","stamp":4096,"author":1}]}"#;
const PUSH_REPLY: &str =
    r#"{"status":"ok","server_lsn":4,"epoch":"e","author":1,"receipts":[{"seq":1,"result":"applied","lsn":1}]}"#;
const REFUSALS: [&str; 4] = [
    r#"{"error":"e","code":"resync","epoch":"e","horizon":3}"#,
    r#"{"error":"e","code":"forbidden","collection":"notes","access":"write"}"#,
    r#"{"error":"e","code":"batch_reused"}"#,
    "<html><body>502 Bad Gateway</body></html>",
];
const SNAPSHOT: &str = concat!(
    r#"{"server_lsn":3,"epoch":"e"}"#,
    "\n",
    r#"{"op":"put","lsn":1,"collection":"notes","id":"x","stamp":1024,"author":1,"doc":{"_id":"x","n":1}}"#,
    "\n",
    r#"{"op":"put","lsn":2,"collection":"notes","id":"y","stamp":2048,"author":1,"doc":{"_id":"y"}}"#,
    "\n",
    r#"{"end":true,"documents":2}"#,
    "\n"
);

fn reply(status: u16, body: &[u8]) -> ApiReply {
    ApiReply { status, retry_after: None, body: body.to_vec().into() }
}

/// Documents of a snapshot's answers.
fn documents(answers: &[Answer]) -> usize {
    let of = |answer: &Answer| if let Answer::SnapshotPart(documents) = answer { documents.len() } else { 0 };
    answers.iter().map(of).sum()
}

/// Reads a snapshot in pieces that end at `cuts`; what came out, and why it stopped.
fn read(text: &[u8], cuts: &[Index]) -> (Vec<Answer>, Option<Failure>) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([text.len()]).collect();
    ends.sort_unstable();
    let (mut reader, mut from, mut all) = (SnapshotReader::default(), 0, Vec::new());
    for end in ends {
        match reader.feed(&text[from..end]) {
            Ok(answers) => all.extend(answers),
            Err(failure) => return (all, Some(failure)),
        }
        from = end;
    }
    all.extend(reader.finish());
    (all, None)
}

proptest! {
    #[test]
    fn a_page_or_the_answer_to_a_push(
        body in damaged(vec![PAGE.into(), PUSH_REPLY.into()]), status in prop::sample::select(&[200_u16, 204, 299][..])
    ) {
        for failure in [content::<Page>(Ok(reply(status, &body))).err(), content::<PushReply>(Ok(reply(status, &body))).err()] {
            prop_assert!(failure.is_none_or(|failure| matches!(failure, Failure::Server(why) if !why.is_empty())));
        }
    }

    #[test]
    fn a_refusal(body in damaged(REFUSALS.iter().map(|text| text.as_bytes().to_vec()).collect()), status in 100_u16..700) {
        let shown = format!("{:?}", refusal(reply(status, &body)));
        prop_assert!(shown.len() <= 4 * body.len() + 1_000, "{}", shown);
    }

    #[test]
    fn a_snapshot_in_pieces(text in damaged(vec![SNAPSHOT.into()]), cuts in prop::collection::vec(any::<Index>(), 0..4)) {
        let ((whole, stopped), (pieces, as_well)) = (read(&text, &[]), read(&text, &cuts));
        prop_assert_eq!(stopped.is_some(), as_well.is_some(), "where it is cut changes nothing");
        if stopped.is_none() {
            prop_assert_eq!(documents(&whole), documents(&pieces));
        }
        let lines = text.split(|byte| *byte == b'\n').count();
        prop_assert!(documents(&whole) < lines, "a line is a document at most");
    }

    #[test]
    fn a_packet_of_a_hub(
        text in damaged(seeds_in(include_str!("../../../../spec/vectors/exchange-sequences.json")))
    ) {
        let ends = Ends { hub: "00000000-0000-4000-8000-000000000000".into(), schema_version: "1.0.0".into() };
        let node = NodeId::new("11111111-1111-4111-8111-000000000001").unwrap();
        if let Err(why) = packet::read(&text, &ends, &node) {
            prop_assert!(!why.is_empty());
        }
    }
}
