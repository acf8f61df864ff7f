//! What comes in by a WebSocket, looked at before the library gets it: whether its frames are frames, its text is text
//! and its packets are packets, and how much of it there may be. So a client whose connection ends is told why.

use super::farewell::Farewell;
use super::packets::{Packets, Said, Way};
use super::rules::Rules;
use tokio::sync::OwnedSemaphorePermit;

/// What a client may send before it is let in: its CONNECT, and what goes with a change of transport.
pub(super) const GREETING_BYTES_MAX: usize = 32 << 10;
/// Messages from this size on take their share of `limits.inflight_body_bytes` while they arrive: as much as smaller ones
/// take, every connection may.
const SHARED_FROM: usize = 16 << 10;

/// Longest head of a frame: two bytes, a length, a mask.
const HEAD_BYTES_MAX: usize = 14;
/// So many bytes are looked at in one piece.
const PIECE: usize = 1024;
/// A character has begun, and has so many bytes at most.
const BEGUN_MAX: usize = 3;

/// What a frame is.
const CONTINUED: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const GOODBYE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The frames of one connection.
pub(super) struct Inbox {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of the head that have come.
    headed: u8,
    /// The head is whole, and the content comes.
    open: bool,
    /// Content of the frame that is still to come, and that has come.
    left: u64,
    masked: u8,
    /// The message that its frames belong to; 0: there is none.
    message: u8,
    message_bytes: usize,
    begun: [u8; BEGUN_MAX],
    begun_bytes: u8,
    parted: bool,
    greeting_bytes: u16,
    packets: Packets,
    share: Option<OwnedSemaphorePermit>,
}

impl Inbox {
    pub(super) fn new(way: Way) -> Inbox {
        Inbox {
            head: [0; HEAD_BYTES_MAX],
            headed: 0,
            open: false,
            left: 0,
            masked: 0,
            message: 0,
            message_bytes: 0,
            begun: [0; BEGUN_MAX],
            begun_bytes: 0,
            parted: false,
            greeting_bytes: 0,
            packets: Packets::new(way),
            share: None,
        }
    }

    /// Whether the client has said that it goes.
    pub(super) fn has_parted(&self) -> bool {
        self.parted
    }

    /// Looks at what has come. Tells whether the client gave a sign of life.
    ///
    /// # Errors
    /// How the connection is to end.
    pub(super) fn read(&mut self, mut bytes: &[u8], let_in: bool, rules: &Rules) -> Result<bool, Farewell> {
        if !let_in {
            let greeting = usize::from(self.greeting_bytes) + bytes.len();
            let most = greeting <= GREETING_BYTES_MAX;
            self.greeting_bytes = u16::try_from(greeting).ok().filter(|_| most).ok_or(GREETING)?;
        }
        let mut sign = false;
        while !bytes.is_empty() {
            if !self.open {
                bytes = self.read_head(bytes, rules)?;
            }
            if self.open {
                let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.read_content(&bytes[..now])?;
                bytes = &bytes[now..];
                self.left -= now as u64;
                if self.left == 0 {
                    sign |= self.end_frame()? == Said::Sign;
                }
            }
        }
        Ok(sign)
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
        let length = match self.head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([self.head[2], self.head[3]])),
            127 => u64::from_be_bytes(std::array::from_fn(|n| self.head[2 + n])),
            short => u64::from(short),
        };
        let (kind, last) = (self.head[0] & 0x0f, self.head[0] & 0x80 != 0);
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

    /// The message has so many bytes more.
    fn grow(&mut self, length: u64, rules: &Rules) -> Result<(), Farewell> {
        let bytes = usize::try_from(length).ok().and_then(|length| self.message_bytes.checked_add(length));
        let bytes = bytes.filter(|bytes| *bytes <= rules.message_bytes);
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

    fn read_content(&mut self, bytes: &[u8]) -> Result<(), Farewell> {
        if self.message != TEXT || self.head[0] & 0x08 != 0 {
            return Ok(());
        }
        let mask: [u8; 4] = std::array::from_fn(|n| self.head[usize::from(self.headed) - 4 + n]);
        for piece in bytes.chunks(PIECE) {
            let (mut plain, begun) = ([0; PIECE + BEGUN_MAX], usize::from(self.begun_bytes));
            plain[..begun].copy_from_slice(&self.begun[..begun]);
            let end = begun + piece.len();
            for (n, (plain, byte)) in plain[begun..end].iter_mut().zip(piece).enumerate() {
                *plain = byte ^ mask[(usize::from(self.masked) + n) & 3];
            }
            self.masked = (self.masked + (piece.len() & 3) as u8) & 3;
            self.packets.read(&plain[begun..end]).map_err(Farewell::malformed)?;
            self.read_text(&plain[..end])?;
        }
        Ok(())
    }

    /// A character may have begun that the next piece ends.
    fn read_text(&mut self, bytes: &[u8]) -> Result<(), Farewell> {
        let rest = match std::str::from_utf8(bytes) {
            Ok(_) => &[],
            Err(error) if error.error_len().is_none() => &bytes[error.valid_up_to()..],
            Err(_) => return Err(NO_TEXT),
        };
        self.begun[..rest.len()].copy_from_slice(rest);
        self.begun_bytes = rest.len() as u8;
        Ok(())
    }

    fn end_frame(&mut self) -> Result<Said, Farewell> {
        let (kind, last) = (self.head[0] & 0x0f, self.head[0] & 0x80 != 0);
        (self.open, self.headed) = (false, 0);
        self.parted |= kind == GOODBYE;
        if kind >= GOODBYE || !last {
            return Ok(Said::Other);
        }
        (self.share, self.message_bytes) = (None, 0);
        let said = match std::mem::take(&mut self.message) {
            TEXT if self.begun_bytes > 0 => return Err(NO_TEXT),
            TEXT => self.packets.end(),
            _ => self.packets.attachment(),
        };
        let said = said.map_err(Farewell::malformed)?;
        self.parted |= said == Said::Parting;
        Ok(said)
    }
}

const NO_TEXT: Farewell = Farewell::unreadable("a text message is no UTF-8");
const GREETING: Farewell = Farewell::refused("more than 32 KiB came before the client was let in; send CONNECT first");
const BUSY: Farewell =
    Farewell::busy("messages take as much memory as they may (`limits.inflight_body_bytes`); send it later");

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [7, 77, 177, 217];

    fn frame(first: u8, content: &[u8]) -> Vec<u8> {
        let head = match u16::try_from(content.len()) {
            Ok(short @ ..126) => vec![first, 0x80 | short as u8],
            Ok(medium) => [&[first, 0x80 | 126][..], &medium.to_be_bytes()].concat(),
            Err(_) => [&[first, 0x80 | 127][..], &(content.len() as u64).to_be_bytes()].concat(),
        };
        let masked = content.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [head, MASK.to_vec(), masked.collect()].concat()
    }

    fn read(bytes: &[u8], step: usize, rules: &Rules) -> Result<usize, Farewell> {
        let mut inbox = Inbox::new(Way::WebSocket);
        bytes.chunks(step).try_fold(0, |signs, piece| Ok(signs + usize::from(inbox.read(piece, true, rules)?)))
    }

    #[test]
    fn messages_are_understood_wherever_they_were_cut() {
        let rules = Rules::of(8, 1 << 20, 1 << 20);
        let long = format!("42[\"a\",\"{}\"]", "é–😀".repeat(700));
        let bytes = [
            frame(0x81, b"3"),
            frame(0x81, long.as_bytes()),
            frame(0x01, &long.as_bytes()[..9]),
            frame(0x89, b"alive?"),
            frame(0x80, &long.as_bytes()[9..]),
            frame(0x81, b"451-[\"a\"]"),
            frame(0x82, &[0xff; 70_000]),
            frame(0x81, b"3"),
            frame(0x88, &[3, 232]),
        ]
        .concat();
        for step in [1, 2, 7, 1023, 4096, bytes.len()] {
            let signs = read(&bytes, step, &rules);
            assert!(signs.is_ok_and(|signs| signs > 0), "{step}: {signs:?}");
        }
        assert_eq!(rules.body_bytes.available_permits(), 1 << 20, "what has arrived takes nothing");
    }

    #[test]
    fn what_is_malformed_is_told_by_what_is_wrong() {
        let rules = Rules::of(8, 100_000, 1 << 20);
        let nested = [frame(0x01, b"42[\"a\""), frame(0x81, b"3")].concat();
        for (bytes, code, why) in [
            (vec![0x81, 1, b'3'], 1002, "masked"),
            (frame(0xc1, b"3"), 1002, "extension"),
            (frame(0x83, b"3"), 1002, "kind"),
            (frame(0x80, b"3"), 1002, "in a row"),
            (nested, 1002, "in a row"),
            (frame(0x09, b"part"), 1002, "control frame"),
            (frame(0x89, &[0; 126]), 1002, "control frame"),
            (frame(0x81, &[0; 100_001]), 1009, "live.message_bytes"),
            (frame(0x81, b"42[\"\xff\"]"), 1007, "UTF-8"),
            (frame(0x81, "42[\"é".as_bytes().split_last().unwrap().1), 1007, "UTF-8"),
            (frame(0x81, b"x"), 1002, "Engine.IO"),
            (frame(0x81, b""), 1002, "empty"),
            (frame(0x82, b"\0"), 1002, "no packet announced"),
        ] {
            for step in [1, bytes.len()] {
                let read = read(&bytes, step, &rules).map_err(|farewell| farewell.frame());
                let frame = read.expect_err(why);
                let said = String::from_utf8_lossy(&frame[4..]).into_owned();
                assert_eq!(u16::from_be_bytes([frame[2], frame[3]]), code, "{said}");
                assert!(said.contains(why), "{said}");
            }
        }
    }

    #[test]
    fn a_large_message_takes_its_share_while_it_arrives() {
        let rules = Rules::of(8, 1 << 20, 50_000);
        let (first, second) = (frame(0x01, &[b'3'; 20_000]), frame(0x80, &[b'3'; 20_000]));
        let mut inbox = Inbox::new(Way::Changed);
        inbox.read(&first[..100], true, &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 30_000);
        inbox.read(&first[100..], true, &rules).unwrap();
        inbox.read(&second[..100], true, &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 10_000);

        let other = Inbox::new(Way::Changed).read(&first, true, &rules);
        assert!(other.is_err_and(|farewell| farewell.frame()[2..4] == 1013u16.to_be_bytes()));

        inbox.read(&second[100..], true, &rules).unwrap();
        assert_eq!(rules.body_bytes.available_permits(), 50_000);
    }

    #[test]
    fn who_is_not_in_yet_sends_a_greeting_and_no_more() {
        let (rules, frame) = (Rules::of(8, 1 << 20, 1 << 20), frame(0x81, &[b'3'; 40_000]));
        let mut inbox = Inbox::new(Way::Changed);
        inbox.read(&frame[..GREETING_BYTES_MAX], false, &rules).unwrap();
        assert_eq!(inbox.read(&frame[GREETING_BYTES_MAX..][..1], false, &rules), Err(GREETING));
    }
}
