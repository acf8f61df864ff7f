//! WebSocket's frames (RFC 6455, section 5): those of a client as they arrive, in pieces of any length, and those of the
//! hub, whole. Holds no more of a message than has come.

use super::farewell::Farewell;
use super::rules::Rules;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Messages from this size on take their share of `limits.inflight_body_bytes` while they arrive: as much as smaller ones
/// take, every connection may.
const SHARED_FROM: usize = 16 << 10;

/// Longest head of a frame: two bytes, a length, a mask.
const HEAD_BYTES_MAX: usize = 14;
/// Longest head of a frame of the hub: it has no mask.
pub(super) const OWN_HEAD_BYTES_MAX: usize = 10;

/// First bit of a frame that is the last of its message.
const LAST: u8 = 0x80;
/// What a frame is.
const CONTINUED: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
const GOODBYE: u8 = 8;
const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What came, whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Text(String),
    /// Bytes; nobody here looks at them, so they are not kept.
    Binary,
    /// To be sent back.
    Ping(Vec<u8>),
    Goodbye,
}

/// The frames of a client while they arrive.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of the head that have come.
    headed: u8,
    /// The head is whole, and the content comes.
    open: bool,
    /// Content of the frame that is still to come.
    left: u64,
    /// Where in the mask the next byte is.
    masked: u8,
    /// What the message is that its frames belong to; 0: there is none.
    message: u8,
    message_bytes: usize,
    text: Vec<u8>,
    /// Content of a ping: it may come between the frames of a message.
    ping: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

impl Frames {
    /// Takes bytes until something is whole; returns what is behind it.
    ///
    /// # Errors
    /// How the connection is to end.
    pub(super) fn read<'a>(
        &mut self,
        mut bytes: &'a [u8],
        rules: &Rules,
    ) -> Result<(Option<Arrived>, &'a [u8]), Farewell> {
        while !bytes.is_empty() {
            if !self.open {
                bytes = self.read_head(bytes, rules)?;
            }
            if self.open {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.read_content(&bytes[..now]);
                bytes = &bytes[now..];
                self.left -= now as u64;
                if self.left == 0
                    && let Some(arrived) = self.end_frame()?
                {
                    return Ok((Some(arrived), bytes));
                }
            }
        }
        Ok((None, bytes))
    }

    /// Takes what is missing of the head; returns what is behind it.
    fn read_head<'a>(&mut self, bytes: &'a [u8], rules: &Rules) -> Result<&'a [u8], Farewell> {
        for (n, byte) in bytes.iter().enumerate() {
            self.head[usize::from(self.headed)] = *byte;
            self.headed += 1;
            if self.headed < 2 {
                continue;
            }
            if self.head[1] & 0x80 == 0 {
                return Err(Farewell::malformed("frames of a client are masked"));
            }
            let head = match self.head[1] & 0x7f {
                126 => 8,
                127 => 14,
                _ => 6,
            };
            if self.headed == head {
                self.open_frame(rules)?;
                return Ok(&bytes[n + 1..]);
            }
        }
        Ok(&[])
    }

    fn open_frame(&mut self, rules: &Rules) -> Result<(), Farewell> {
        let length = length(&self.head);
        let (kind, last) = (self.kind(), self.head[0] & LAST != 0);
        if self.head[0] & 0x70 != 0 {
            return Err(Farewell::malformed("a frame uses an extension that was not agreed on"));
        }
        match kind {
            GOODBYE | PING | PONG if last && length < 126 => {}
            GOODBYE | PING | PONG => return Err(Farewell::malformed("a control frame is whole and short")),
            CONTINUED if self.message != 0 => self.grow(length, rules)?,
            TEXT | BINARY if self.message == 0 => {
                self.message = kind;
                self.grow(length, rules)?;
            }
            CONTINUED | TEXT | BINARY => return Err(Farewell::malformed("the parts of a message come in a row")),
            _ => return Err(Farewell::malformed("a frame is of a kind that WebSocket does not know")),
        }
        (self.open, self.left, self.masked) = (true, length, 0);
        Ok(())
    }

    fn kind(&self) -> u8 {
        self.head[0] & 0x0f
    }

    /// The message has so many bytes more.
    fn grow(&mut self, length: u64, rules: &Rules) -> Result<(), Farewell> {
        let bytes = usize::try_from(length).ok().and_then(|length| self.message_bytes.checked_add(length));
        let bytes = bytes.filter(|bytes| *bytes <= rules.live.message_bytes);
        let bytes = bytes.ok_or(Farewell::too_large("a message is over the limit (`live.message_bytes`)"))?;
        if bytes >= SHARED_FROM {
            let held = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = rules.share(bytes - held).ok_or(BUSY)?;
            match &mut self.share {
                Some(share) => share.merge(more),
                None => self.share = Some(more),
            }
        }
        self.message_bytes = bytes;
        Ok(())
    }

    fn read_content(&mut self, bytes: &[u8]) {
        let at = usize::from(self.headed) - 4;
        let mask: [u8; 4] = std::array::from_fn(|n| self.head[at + (n + usize::from(self.masked)) % 4]);
        self.masked = (self.masked + (bytes.len() % 4) as u8) % 4;
        let content = match (self.kind(), self.message) {
            (PING, _) => &mut self.ping,
            (TEXT, _) | (CONTINUED, TEXT) => &mut self.text,
            _ => return,
        };
        let begun = content.len();
        content.extend_from_slice(bytes);
        for four in content[begun..].chunks_mut(4) {
            four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }

    fn end_frame(&mut self) -> Result<Option<Arrived>, Farewell> {
        let last = self.head[0] & LAST != 0;
        (self.open, self.headed) = (false, 0);
        match self.kind() {
            GOODBYE => return Ok(Some(Arrived::Goodbye)),
            PING => return Ok(Some(Arrived::Ping(std::mem::take(&mut self.ping)))),
            PONG => return Ok(None),
            _ if !last => return Ok(None),
            _ => {}
        }
        // Who gets the message takes what it needs of the limits.
        (self.share, self.message_bytes) = (None, 0);
        match std::mem::take(&mut self.message) {
            TEXT => match String::from_utf8(std::mem::take(&mut self.text)) {
                Ok(text) => Ok(Some(Arrived::Text(text))),
                Err(_) => Err(Farewell::unreadable("a text message is no UTF-8")),
            },
            _ => Ok(Some(Arrived::Binary)),
        }
    }
}

const BUSY: Farewell =
    Farewell::busy("messages take as much memory as they may (`limits.inflight_body_bytes`); send it later");

/// What the head of a frame says of its content's length.
fn length(head: &[u8]) -> u64 {
    match head[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
        127 => u64::from_be_bytes(std::array::from_fn(|n| head[2 + n])),
        short => u64::from(short),
    }
}

/// Content as a whole frame of the hub.
pub(super) fn whole(kind: u8, content: &[u8]) -> Bytes {
    let mut frames = Vec::with_capacity(content.len() + OWN_HEAD_BYTES_MAX);
    put(&mut frames, kind, content);
    frames.into()
}

/// The frame that is the last.
pub(super) fn goodbye(farewell: Farewell) -> Bytes {
    whole(GOODBYE, &[&farewell.code.to_be_bytes(), farewell.why.as_bytes()].concat())
}

/// Adds a whole frame of the hub.
pub(super) fn put(frames: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let (head, length) = own_head(kind, content.len());
    frames.extend_from_slice(&head[..length]);
    frames.extend_from_slice(content);
}

fn own_head(kind: u8, bytes: usize) -> ([u8; OWN_HEAD_BYTES_MAX], usize) {
    let mut head = [0; OWN_HEAD_BYTES_MAX];
    head[0] = LAST | kind;
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short @ ..126), _) => {
            head[1] = short;
            (head, 2)
        }
        (_, Ok(medium)) => {
            head[1] = 126;
            head[2..4].copy_from_slice(&medium.to_be_bytes());
            (head, 4)
        }
        _ => {
            head[1] = 127;
            head[2..].copy_from_slice(&(bytes as u64).to_be_bytes());
            (head, 10)
        }
    }
}

/// What whole frames of the hub hold: each with its kind.
pub(super) fn contents(mut frames: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let kind = frames.first()? & 0x0f;
        let head = match frames[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let end = head + usize::try_from(length(frames)).ok()?;
        let (frame, rest) = frames.split_at(end);
        frames = rest;
        Some((kind, &frame[head..]))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const MASK: [u8; 4] = [7, 77, 177, 217];

    /// A frame as a client sends it.
    pub(in super::super) fn masked(first: u8, content: &[u8]) -> Vec<u8> {
        let own = whole(0, content);
        let head = own.len() - content.len();
        let content = content.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [&[first, own[1] | 0x80][..], &own[2..head], &MASK].concat().into_iter().chain(content).collect()
    }

    pub(in super::super) fn read_all(bytes: &[u8], step: usize, rules: &Rules) -> Result<Vec<Arrived>, Farewell> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let (arrived, rest) = frames.read(piece, rules)?;
                all.extend(arrived);
                piece = rest;
            }
        }
        Ok(all)
    }

    #[test]
    fn messages_are_understood_wherever_they_were_cut() {
        let rules = Rules::of(8, 1 << 20, 1 << 20);
        let long = format!("42[\"a\",\"{}\"]", "é–😀".repeat(700));
        let bytes = [
            masked(0x81, b"3"),
            masked(0x81, long.as_bytes()),
            masked(0x01, &long.as_bytes()[..9]),
            masked(0x89, b"alive?"),
            masked(0x80, &long.as_bytes()[9..]),
            masked(0x82, &[0xff; 70_000]),
            masked(0x8a, b"a pong"),
            masked(0x88, &[3, 232]),
        ]
        .concat();
        let text = |text: &str| Arrived::Text(text.to_owned());
        let ping = Arrived::Ping(b"alive?".to_vec());
        let expected = [text("3"), text(&long), ping, text(&long), Arrived::Binary, Arrived::Goodbye];
        for step in [1, 2, 7, 1023, 4096, bytes.len()] {
            assert_eq!(read_all(&bytes, step, &rules).unwrap(), expected, "{step}");
        }
        assert_eq!(rules.body_bytes.available_permits(), 1 << 20, "what has arrived takes nothing");
    }

    #[test]
    fn what_is_malformed_is_told_by_what_is_wrong() {
        let rules = Rules::of(8, 100_000, 1 << 20);
        let nested = [masked(0x01, b"42[\"a\""), masked(0x81, b"3")].concat();
        for (bytes, code, why) in [
            (vec![0x81, 1, b'3'], 1002, "masked"),
            (masked(0xc1, b"3"), 1002, "extension"),
            (masked(0x83, b"3"), 1002, "kind"),
            (masked(0x80, b"3"), 1002, "in a row"),
            (nested, 1002, "in a row"),
            (masked(0x09, b"part"), 1002, "control frame"),
            (masked(0x89, &[0; 126]), 1002, "control frame"),
            (masked(0x81, &[0; 100_001]), 1009, "live.message_bytes"),
            (masked(0x81, b"42[\"\xff\"]"), 1007, "UTF-8"),
            (masked(0x81, "42[\"é".as_bytes().split_last().unwrap().1), 1007, "UTF-8"),
        ] {
            for step in [1, bytes.len()] {
                let farewell = read_all(&bytes, step, &rules).expect_err(why);
                assert!(farewell.code == code && farewell.why.contains(why), "{farewell:?}");
            }
        }
    }

    #[test]
    fn a_large_message_takes_its_share_while_it_arrives() {
        let rules = Rules::of(8, 1 << 20, 50_000);
        let (first, second) = (masked(0x01, &[b'3'; 20_000]), masked(0x80, &[b'3'; 20_000]));
        let mut frames = Frames::default();
        frames.read(&first[..100], &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 30_000);
        frames.read(&first[100..], &rules).unwrap();
        frames.read(&second[..100], &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 10_000);

        assert_eq!(Frames::default().read(&first, &rules), Err(BUSY));

        frames.read(&second[100..], &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 50_000);
    }

    #[test]
    fn own_frames_hold_what_was_put_in_whatever_its_length() {
        for length in [0, 3, 125, 126, 70_000] {
            let content = "x".repeat(length);
            let frames = [whole(TEXT, content.as_bytes()), whole(BINARY, content.as_bytes())].concat();
            let expected = [(TEXT, content.as_bytes()), (BINARY, content.as_bytes())];
            assert_eq!(contents(&frames).collect::<Vec<_>>(), expected);
        }
    }
}
