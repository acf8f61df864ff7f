//! Answers of the hub as the session takes them: what a status means, and snapshots line by line.
//! The only place that knows HTTP statuses.

use super::api::{ApiError, ApiReply};
use bytes::{Buf, BytesMut};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use syncline_core::model::{CollectionName, PageOp, SnapshotEnd, SnapshotHead};
use syncline_core::session::{Answer, Failure};

/// Documents that are stored in one transaction while a snapshot loads.
const PART_DOCUMENTS: usize = 1_000;
/// Bytes after which a transaction takes no further document: a thousand large ones would fill the memory.
const PART_BYTES: usize = 8 << 20;
/// Bytes of one line of a snapshot: a document at the hub's limit (16 MiB) and what stands around it, twice over.
const LINE_BYTES: usize = 64 << 20;

/// The content of a good answer, or what a bad one means.
pub(super) fn content<T: DeserializeOwned>(reply: Result<ApiReply, ApiError>) -> Result<T, Failure> {
    let reply = reply.map_err(|e| Failure::Network(e.to_string()))?;
    if !(200..300).contains(&reply.status) {
        return Err(refusal(reply));
    }
    serde_json::from_slice(&reply.body)
        .map_err(|e| Failure::Server(format!("its answer cannot be read ({e}): {}", excerpt(&reply.body))))
}

/// What an answer means that is not a success.
pub(super) fn refusal(reply: ApiReply) -> Failure {
    let ApiReply { status, retry_after, body } = reply;
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Words {
        error: Option<String>,
        code: Option<String>,
        collection: Option<String>,
        access: Option<String>,
    }
    let words: Words = serde_json::from_slice(&body).unwrap_or_default();
    let message = words.error.unwrap_or_else(|| format!("status {status}: {}", excerpt(&body)));
    let collection = words.collection.and_then(|name| CollectionName::new(name).ok());
    if let (403, Some(collection)) = (status, collection) {
        return Failure::CollectionRefused { collection, message };
    }
    match (status, words.code.as_deref()) {
        (403, Some(_)) if words.access.as_deref() == Some("write") => Failure::PushingRefused(message),
        (403, Some(_)) if words.access.as_deref() == Some("read") => Failure::PullingRefused(message),
        (401 | 403, _) | (404, Some("unknown_node")) => Failure::Unauthorized(message),
        (410, _) => Failure::Resync(message),
        (429 | 503, _) => {
            let retry_after_ms = retry_after.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            Failure::Overloaded { message, retry_after_ms }
        }
        (409, Some("schema_mismatch")) => Failure::Server(message),
        (409, _) => Failure::BatchReused(message),
        // Only a hub that gives its reasons refuses content. Any other 4xx comes from something in
        // between or from a wrong address, and must not cost an op its place.
        (400 | 413 | 422, Some(_)) => Failure::Refused(message),
        _ => Failure::Server(message),
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A snapshot on its way in: pieces of any size go in, answers for the session come out.
#[derive(Default)]
pub(super) struct SnapshotReader {
    buffer: BytesMut,
    scanned: usize,
    head_seen: bool,
    documents: Vec<PageOp>,
    document_bytes: usize,
    done: bool,
}

impl SnapshotReader {
    /// Takes a piece of the body and returns what is complete.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Answer>, Failure> {
        self.buffer.extend_from_slice(piece);
        let mut answers = Vec::new();
        while let Some(end) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.scanned + end);
            self.buffer.advance(1);
            self.scanned = 0;
            self.line(&line, &mut answers)?;
        }
        self.scanned = self.buffer.len();
        if self.scanned > LINE_BYTES {
            return Err(Failure::Server(format!("a line of the snapshot is longer than {LINE_BYTES} bytes")));
        }
        Ok(answers)
    }

    /// The body is over, or no more of it will come. Documents that were read are kept even when the
    /// end is missing: the next attempt goes on behind them.
    pub(super) fn finish(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        let rest = self.buffer.split();
        if !self.done && !rest.is_empty() {
            // A last line without its line feed counts only if it is whole.
            let _ = self.line(&rest, &mut answers);
        }
        self.part(&mut answers);
        answers
    }

    /// Whether the last line has come.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    fn line(&mut self, line: &[u8], answers: &mut Vec<Answer>) -> Result<(), Failure> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let unreadable = |e: serde_json::Error| {
            Failure::Server(format!("a line of the snapshot cannot be read ({e}): {}", excerpt(line)))
        };
        if !self.head_seen {
            let head: SnapshotHead = serde_json::from_slice(line).map_err(unreadable)?;
            self.head_seen = true;
            answers.push(Answer::SnapshotHead(head));
            return Ok(());
        }
        match serde_json::from_slice::<PageOp>(line) {
            Ok(document) => {
                self.documents.push(document);
                self.document_bytes += line.len();
                if self.documents.len() >= PART_DOCUMENTS || self.document_bytes >= PART_BYTES {
                    self.part(answers);
                }
            }
            Err(no_document) => {
                let end: SnapshotEnd = serde_json::from_slice(line).map_err(|_| unreadable(no_document))?;
                self.part(answers);
                self.done = true;
                answers.push(Answer::SnapshotEnd(end));
            }
        }
        Ok(())
    }

    fn part(&mut self, answers: &mut Vec<Answer>) {
        self.document_bytes = 0;
        if !self.documents.is_empty() {
            answers.push(Answer::SnapshotPart(std::mem::take(&mut self.documents)));
        }
    }
}

/// The stream ended before its last line.
pub(super) fn cut() -> Failure {
    Failure::Network("the snapshot was cut before its end; it is resumed where it stopped".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HEAD: &str = "{\"server_lsn\":9,\"epoch\":\"e\"}\n";

    fn document(lsn: u64) -> String {
        format!(
            "{{\"op\":\"put\",\"lsn\":{lsn},\"collection\":\"users\",\"id\":\"d{lsn}\",\"stamp\":{lsn},\
             \"author\":1,\"doc\":{{\"_id\":\"d{lsn}\"}}}}\n"
        )
    }

    fn kinds(answers: &[Answer]) -> String {
        let kind = |answer: &Answer| match answer {
            Answer::SnapshotHead(head) => format!("head {}", head.server_lsn),
            Answer::SnapshotPart(ops) => format!("part {}", ops.len()),
            Answer::SnapshotEnd(end) => format!("end {}", end.documents),
            other => format!("{other:?}"),
        };
        answers.iter().map(kind).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_snapshot_is_read_in_pieces_of_any_size() {
        let text = format!("{HEAD}{}{}{{\"end\":true,\"documents\":2}}\n", document(3), document(5));
        for size in [1, 2, 7, 50, text.len()] {
            let mut reader = SnapshotReader::default();
            let mut answers = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                answers.extend(reader.feed(piece).unwrap());
            }
            answers.extend(reader.finish());
            assert!(reader.is_done());
            assert_eq!(kinds(&answers), "head 9, part 2, end 2", "in pieces of {size}");
        }
    }

    #[test]
    fn large_documents_are_stored_in_smaller_parts() {
        let large =
            |lsn: u64| document(lsn).replace("{\"_id\"", &format!("{{\"text\":\"{}\",\"_id\"", "x".repeat(5 << 20)));
        let mut reader = SnapshotReader::default();
        let mut answers = reader.feed(format!("{HEAD}{}{}{}", large(1), large(2), large(3)).as_bytes()).unwrap();
        answers.extend(reader.finish());
        assert_eq!(kinds(&answers), "head 9, part 2, part 1");
    }

    #[test]
    fn what_came_before_a_cut_is_kept_and_half_a_line_is_not() {
        let mut reader = SnapshotReader::default();
        let mut answers = reader.feed(format!("{HEAD}{}{}", document(3), &document(5)[..40]).as_bytes()).unwrap();
        answers.extend(reader.finish());
        assert!(!reader.is_done());
        assert_eq!(kinds(&answers), "head 9, part 1");
    }

    #[test]
    fn many_documents_come_in_bounded_parts() {
        let mut reader = SnapshotReader::default();
        let text: String = (1..=2_500).map(document).collect();
        let mut answers = reader.feed(format!("{HEAD}{text}").as_bytes()).unwrap();
        answers.extend(reader.feed(b"{\"end\":true,\"documents\":2500}\n").unwrap());
        assert_eq!(kinds(&answers), "head 9, part 1000, part 1000, part 500, end 2500");
    }

    #[test]
    fn a_line_of_a_snapshot_that_never_ends_is_refused() {
        let mut reader = SnapshotReader::default();
        reader.feed(HEAD.as_bytes()).unwrap();
        reader.feed(&vec![b' '; LINE_BYTES]).unwrap();
        let refused = reader.feed(b" ").unwrap_err();
        assert!(matches!(&refused, Failure::Server(why) if why.contains("longer than 67108864 bytes")), "{refused:?}");
    }

    #[test]
    fn each_status_means_what_the_dialect_says() {
        let meaning = |status, body: &str| {
            refusal(ApiReply { status, retry_after: Some(Duration::from_secs(3)), body: body.to_owned().into() })
        };
        let words = |code: &str| format!("{{\"error\":\"why\",\"code\":\"{code}\"}}");
        assert_eq!(meaning(401, &words("unauthorized")), Failure::Unauthorized("why".into()));
        assert_eq!(meaning(403, &words("forbidden")), Failure::Unauthorized("why".into()));
        let collection = CollectionName::new("users").unwrap();
        let part = r#"{"error":"why","code":"forbidden","collection":"users"}"#;
        assert_eq!(meaning(403, part), Failure::CollectionRefused { collection, message: "why".into() });
        let part = r#"{"error":"why","code":"forbidden","access":"write"}"#;
        assert_eq!(meaning(403, part), Failure::PushingRefused("why".into()));
        let part = r#"{"error":"why","code":"forbidden","access":"read"}"#;
        assert_eq!(meaning(403, part), Failure::PullingRefused("why".into()));
        assert_eq!(meaning(410, &words("resync")), Failure::Resync("why".into()));
        assert_eq!(
            meaning(503, &words("overloaded")),
            Failure::Overloaded { message: "why".into(), retry_after_ms: Some(3_000) }
        );
        assert_eq!(meaning(409, &words("schema_mismatch")), Failure::Server("why".into()), "it blames no op");
        assert_eq!(meaning(409, &words("batch_reused")), Failure::BatchReused("why".into()));
        assert_eq!(meaning(413, &words("batch_too_large")), Failure::Refused("why".into()));
        assert!(matches!(meaning(413, "<html>too large</html>"), Failure::Server(_)), "a proxy's words");
        assert!(matches!(meaning(408, &words("slow_body")), Failure::Server(_)), "it says nothing against the ops");
        assert!(matches!(meaning(404, &words("not_found")), Failure::Server(_)));
        assert_eq!(meaning(404, &words("unknown_node")), Failure::Unauthorized("why".into()), "not yet registered");
        assert!(matches!(meaning(500, ""), Failure::Server(_)));
    }
}
