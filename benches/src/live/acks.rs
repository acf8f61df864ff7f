//! Clients of event sync that write as fast as their acknowledgements come.

use super::fanout::insert;
use super::peers::Running;
use super::socket::Socket;
use crate::hub::TOKEN;
use std::fmt::Write;
use std::io::{Error, Result};
use std::time::Instant;

/// Clients that write at the same time.
const CLIENTS: u64 = 8;
/// Events in one message.
const BATCH: u64 = 100;

/// Events per second that are acknowledged, and the server's CPU seconds for 100,000.
///
/// # Errors
/// When a client cannot connect or is refused.
#[allow(clippy::cast_precision_loss)]
pub(super) fn run(running: &Running, events: u64) -> Result<(f64, f64)> {
    let (cpu, began) = (running.server.cpu_s(), Instant::now());
    let client = |number: u64| -> Result<()> {
        let name = format!("client-{number}");
        let mut socket = Socket::open(running.server.port, TOKEN)?;
        socket.send(&format!(r#"42["client:info",{{"clientId":"{name}","collections":["other"]}}]"#))?;
        for first in (0..events / CLIENTS).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let mut message = format!(r#"42{first}["client:sync",["#);
            for n in first..first + BATCH {
                let comma = if n == first { "" } else { "," };
                write!(message, "{comma}{}", insert(&name, n, "")).map_err(Error::other)?;
            }
            socket.send(&(message + "]]"))?;
            let wanted = format!("43{first}[");
            loop {
                let packet = socket.next()?;
                match packet.strip_prefix(&wanted) {
                    Some(reply) if reply.contains(r#""success":true"#) => break,
                    Some(reply) => return Err(Error::other(format!("refused: {reply}"))),
                    None => {}
                }
            }
        }
        socket.close();
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err(Error::other("a client panicked"))))
    })?;
    let wall = began.elapsed().as_secs_f64();
    running.server.settle();
    Ok((events as f64 / wall, (running.server.cpu_s() - cpu) * 100_000.0 / events as f64))
}
