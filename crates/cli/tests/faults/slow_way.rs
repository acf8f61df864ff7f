//! A way to PostgreSQL's socket file that can be made slow: what passes waits a while, in both directions.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const SOCKET: &str = ".s.PGSQL.5432";

/// A socket file of its own, for as long as the process lives.
pub struct SlowWay {
    late_ms: Arc<AtomicU64>,
}

impl SlowWay {
    /// In `home`, to the server whose socket file is in `beyond`.
    pub fn open(home: &Path, beyond: &Path) -> SlowWay {
        let late_ms = Arc::new(AtomicU64::new(0));
        let listener = UnixListener::bind(home.join(SOCKET)).unwrap();
        let (late, beyond) = (Arc::clone(&late_ms), beyond.join(SOCKET));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // While the server is away, connections end at once.
                let Ok(server) = UnixStream::connect(&beyond) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, late) = (from.try_clone(), to.try_clone(), Arc::clone(&late));
                    thread::spawn(move || pass(&from?, &to?, &late));
                }
            }
        });
        SlowWay { late_ms }
    }

    /// From now on each piece is so late.
    pub fn late(&self, ms: u64) {
        self.late_ms.store(ms, Ordering::SeqCst);
    }
}

/// Until one of the two leaves, and then for neither of them.
fn pass(mut from: &UnixStream, mut to: &UnixStream, late_ms: &AtomicU64) -> io::Result<()> {
    let mut piece = [0; 16 << 10];
    let done = loop {
        match from.read(&mut piece) {
            Ok(read @ 1..) => {
                thread::sleep(Duration::from_millis(late_ms.load(Ordering::SeqCst))); // sleep: lateness is the fault
                if let Err(error) = to.write_all(&piece[..read]) {
                    break Err(error);
                }
            }
            Ok(_) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    for stream in [from, to] {
        // Fails where the other direction has done it.
        let _ = stream.shutdown(Shutdown::Both);
    }
    done
}
