//! Frames of a WebSocket and the packets of Engine.IO and Socket.IO in them: as little as the drivers
//! need, so that they cost little beside the server. Must never do I/O.

/// The request that turns a connection into a WebSocket of Engine.IO 4.
pub(super) const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: bench\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: YmVuY2htYXJrLWNsaWVudA==\r\n\r\n";

/// A frame that arrived whole.
pub(super) struct Frame {
    /// 1 text, 8 close, 9 ping.
    pub opcode: u8,
    /// Where its content begins in the bytes that were looked at.
    pub begin: usize,
    /// Where it ends, and the next frame begins.
    pub end: usize,
}

/// The first frame of some bytes of a server, or none while it is incomplete.
pub(super) fn first(bytes: &[u8]) -> Option<Frame> {
    let (opcode, short) = (bytes.first()? & 0x0f, bytes.get(1)? & 0x7f);
    let (begin, length) = match short {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        length => (2, u64::from(length)),
    };
    let end = begin + usize::try_from(length).ok()?;
    (bytes.len() >= end).then_some(Frame { opcode, begin, end })
}

/// A client's text frame. Its mask is zero: as valid as any, and free.
pub(super) fn text(content: &str) -> Vec<u8> {
    let length = content.len();
    let mut frame = vec![0x81];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(content.as_bytes());
    frame
}

/// What a client answers to a packet of the handshake or to a ping, if anything.
pub(super) fn answer(packet: &[u8], token: &str) -> Option<String> {
    match packet {
        [b'0', ..] => Some(format!(r#"40{{"token":"{token}"}}"#)),
        b"2" => Some("3".to_owned()),
        _ => None,
    }
}
