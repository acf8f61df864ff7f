//! What is wrong with a packet of Engine.IO, or of Socket.IO within it, told while it arrives: the library merely closes
//! the connection. Looks at the head of a packet only; its content is read by whoever understands it.

/// Attachments that a packet may announce; nobody here understands them.
pub(super) const ATTACHMENTS_MAX: usize = 1;

/// The packets of one connection.
pub(super) struct Packets {
    way: Way,
    at: At,
    /// Socket.IO's type of the packet.
    kind: u8,
    digits: u8,
    number: u64,
    /// Attachments that were announced and have not come.
    owed: u64,
    /// Nothing has ended in this body yet: an attachment belongs to the packet that ended the body before.
    begins: bool,
}

/// How packets come, which decides about those of Engine.IO.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Several in one body, binary ones as text.
    Polling,
    /// A WebSocket from the beginning.
    WebSocket,
    /// One that polled before, and says so.
    Changed,
}

/// What the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Sign,
    Parting,
    Attachment,
    Kind,
    Count,
    Address,
    Namespace,
    AckId,
    Content,
}

/// What was said with a whole packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// That the client lives.
    Sign,
    /// That it goes.
    Parting,
    Other,
}

type Fault = &'static str;

impl Packets {
    pub(super) fn new(way: Way) -> Packets {
        Packets { way, at: At::Begin, kind: 0, digits: 0, number: 0, owed: 0, begins: way == Way::Polling }
    }

    /// More of the packet; its end is [`Packets::end`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for byte in bytes {
            match self.at {
                At::Attachment | At::Content | At::Parting => return Ok(()),
                At::Sign if self.way == Way::Changed => return Ok(()),
                _ => self.at = self.step(*byte)?,
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::Begin, b'4') => Ok(At::Kind),
            (At::Begin, b'2' | b'3') => Ok(At::Sign),
            (At::Begin, b'1') => Ok(At::Parting),
            (At::Begin, b'5') if self.way == Way::Changed => Ok(At::Sign),
            (At::Begin, b'b') if self.way == Way::Polling => Ok(At::Attachment),
            (At::Begin, _) => Err("a packet of Engine.IO begins with its type; a client sends 1, 2, 3 and 4"),
            (At::Sign, _) => Err("a ping or pong of Engine.IO has no content"),
            (At::Kind, _) if self.owed > 0 => Err("a packet announced binary attachments, and text follows it"),
            (At::Kind, b'0'..=b'3' | b'5' | b'6') => {
                (self.kind, self.digits, self.number) = (byte, 0, 0);
                Ok(if byte >= b'5' { At::Count } else { At::Address })
            }
            (At::Kind, _) => Err("a packet of Socket.IO begins with its type; a client sends 0 to 3, 5 and 6"),
            (At::Count, b'0'..=b'9') => {
                self.count(
                    byte,
                    ATTACHMENTS_MAX as u64,
                    "a packet announces more binary attachments than one; send JSON",
                )?;
                Ok(At::Count)
            }
            (At::Count, b'-') if self.digits > 0 => {
                self.owed = self.number;
                (self.digits, self.number) = (0, 0);
                Ok(At::Address)
            }
            (At::Count, _) => Err("a binary packet says how many attachments follow, and then `-`"),
            (At::Address, b'/') => Ok(At::Namespace),
            (At::Namespace, b',') => Ok(At::AckId),
            (At::Namespace, _) => Ok(At::Namespace),
            (At::Address | At::AckId, b'0'..=b'9') => {
                self.count(byte, i64::MAX.unsigned_abs(), "the id of an acknowledgement is a whole number below 2^63")?;
                Ok(At::AckId)
            }
            _ => self.content(byte),
        }
    }

    fn count(&mut self, digit: u8, most: u64, fault: Fault) -> Result<(), Fault> {
        self.digits = self.digits.saturating_add(1);
        let number = self.number.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
        self.number = number.filter(|number| *number <= most).ok_or(fault)?;
        Ok(())
    }

    fn content(&self, first: u8) -> Result<At, Fault> {
        match (self.kind, first) {
            (b'3' | b'6', _) if self.digits == 0 => Err("an acknowledgement names what it acknowledges"),
            (b'2' | b'3' | b'5' | b'6', b'[') | (b'0' | b'1', _) => Ok(At::Content),
            _ => Err("an event or acknowledgement is a JSON list"),
        }
    }

    /// The packet is whole.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn end(&mut self) -> Result<Said, Fault> {
        let begins = std::mem::take(&mut self.begins);
        match std::mem::replace(&mut self.at, At::Begin) {
            At::Sign => Ok(Said::Sign),
            At::Parting => Ok(Said::Parting),
            At::Content => Ok(Said::Other),
            At::Attachment if begins => Ok(Said::Other),
            At::Attachment => self.attachment(),
            At::Address | At::Namespace | At::AckId if self.kind < b'2' => Ok(Said::Other),
            At::Begin => Err("a packet is empty"),
            _ => Err("a packet of Socket.IO ends before its content"),
        }
    }

    /// A binary message came.
    ///
    /// # Errors
    /// Nobody announced it.
    pub(super) fn attachment(&mut self) -> Result<Said, Fault> {
        self.owed = self.owed.checked_sub(1).ok_or("binary data came that no packet announced")?;
        Ok(Said::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(way: Way, packet: &str) -> Result<Said, Fault> {
        let mut whole = Packets::new(way);
        let said = whole.read(packet.as_bytes()).and_then(|()| whole.end());
        let mut pieces = Packets::new(way);
        let piecewise = packet.bytes().try_for_each(|byte| pieces.read(&[byte])).and_then(|()| pieces.end());
        assert_eq!(said, piecewise, "{packet} in pieces");
        said
    }

    #[test]
    fn what_clients_send_is_taken() {
        for packet in [
            "40",
            "40{\"token\":\"a\"}",
            "40/admin,{\"token\":\"a\"}",
            "41",
            "41/admin,",
            "42[\"a\",{}]",
            "4217[\"a\"]",
            "42/admin,9223372036854775807[\"a\"]",
            "433[{}]",
            "451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
            "450-[\"a\"]",
        ] {
            assert_eq!(read(Way::WebSocket, packet), Ok(Said::Other), "{packet}");
        }
        assert_eq!([read(Way::WebSocket, "3"), read(Way::WebSocket, "1")], [Ok(Said::Sign), Ok(Said::Parting)]);
        assert_eq!([read(Way::Changed, "2probe"), read(Way::Changed, "5")], [Ok(Said::Sign); 2]);
    }

    #[test]
    fn what_is_malformed_is_told_by_what_is_wrong() {
        for (packet, fault) in [
            ("", "empty"),
            ("0{}", "Engine.IO begins"),
            ("é", "Engine.IO begins"),
            ("5", "Engine.IO begins"),
            ("b4AA=", "Engine.IO begins"),
            ("2probe", "no content"),
            ("4", "before its content"),
            ("44{}", "Socket.IO begins"),
            ("47[]", "Socket.IO begins"),
            ("42", "before its content"),
            ("42{}", "JSON list"),
            ("42x[\"a\"]", "JSON list"),
            ("4292233720368547758080[\"a\"]", "below 2^63"),
            ("43[{}]", "names what it acknowledges"),
            ("45[\"a\"]", "how many attachments"),
            ("45-[\"a\"]", "how many attachments"),
            ("452-[\"a\"]", "more binary attachments"),
            ("4599999999999999999999999-[\"a\"]", "more binary attachments"),
        ] {
            let said = read(Way::WebSocket, packet);
            assert!(said.is_err_and(|why| why.contains(fault)), "{packet}: {said:?}");
        }
    }

    #[test]
    fn attachments_come_where_they_were_announced_and_nowhere_else() {
        let mut packets = Packets::new(Way::WebSocket);
        assert!(packets.attachment().is_err());
        packets.read(b"451-[\"a\"]").unwrap();
        packets.end().unwrap();
        assert!(packets.read(b"42[\"b\"]").is_err(), "the attachment has not come");
        packets.attachment().unwrap();
        assert!(packets.attachment().is_err());

        let polled = |packets: &[&str]| {
            let mut body = Packets::new(Way::Polling);
            packets.iter().try_for_each(|packet| body.read(packet.as_bytes()).and_then(|()| body.end()).map(drop))
        };
        assert_eq!(
            polled(&["bAAA=", "451-[\"a\"]", "bAAA="]),
            Ok(()),
            "clients send a packet and its attachment apart"
        );
        assert!(polled(&["bAAA=", "bAAA="]).is_err() && polled(&["3", "bAAA="]).is_err());
    }
}
