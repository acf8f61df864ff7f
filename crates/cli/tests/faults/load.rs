//! Nodes that write without pause, each in a thread of its own, until the test has seen enough.

use crate::history::{Deed, Sent};
use crate::node::{Node, Unanswered};
use fastrand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The collection that everybody writes to.
pub const NOTES: &str = "notes";
/// Documents that everybody edits.
pub const SHARED: usize = 5;

/// What a node does about a push without an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It repeats the push until there is one.
    Endless,
    /// It stops.
    None,
}

/// How much nodes write.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Bytes that make each document larger.
    pub ballast: usize,
    /// Between two pushes of a node.
    pub pause: Duration,
}

/// Running nodes.
pub struct Load {
    stop: Arc<AtomicBool>,
    receipts: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Node>>,
}

impl Load {
    /// Nodes `w0`, `w1` … that push to `address`. What they write follows from `seed`.
    pub fn start(address: &str, nodes: usize, seed: u64, patience: Patience) -> Load {
        Load::paced(address, nodes, seed, patience, Pace { ballast: 0, pause: Duration::ZERO })
    }

    /// The same, slower, or with larger documents.
    pub fn paced(address: &str, nodes: usize, seed: u64, patience: Patience, pace: Pace) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let receipts = Arc::new(AtomicUsize::new(0));
        let threads = (0..nodes).map(|number| {
            let mut node = Node::new(&format!("w{number}"), address);
            node.load(pace.ballast);
            let mut rng = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(number as u64));
            let (stop, receipts) = (Arc::clone(&stop), Arc::clone(&receipts));
            thread::spawn(move || {
                let mut life = Life::default();
                while !stop.load(Ordering::SeqCst) {
                    life.write(&mut node, &mut rng);
                    let before = node.answered();
                    if !push(&mut node, patience) {
                        break;
                    }
                    receipts.fetch_add(node.answered() - before, Ordering::SeqCst);
                    thread::sleep(pace.pause); // sleep: documents that all edit grow with each edit
                }
                node
            })
        });
        let threads = threads.collect();
        Load { stop, receipts, threads }
    }

    /// Ops receipted so far, by all nodes together.
    pub fn receipts(&self) -> usize {
        self.receipts.load(Ordering::SeqCst)
    }

    /// Lets every node finish its push; what all of them sent and were told.
    pub fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::SeqCst);
        let nodes = self.threads.into_iter().map(|thread| thread.join().unwrap());
        nodes.flat_map(|node| node.notes().to_vec()).collect()
    }
}

/// `false`: given up.
pub fn push(node: &mut Node, patience: Patience) -> bool {
    loop {
        match node.push() {
            Ok(()) => return true,
            Err(Unanswered::Refused(reply)) if reply.status < 500 => {
                panic!("{} was refused for good: {}", node.name, String::from_utf8_lossy(&reply.body))
            }
            Err(_) if patience == Patience::None => return false,
            Err(_) => thread::sleep(Duration::from_millis(3)), // sleep: a hub that is away is asked again soon
        }
    }
}

/// What a node has put into the world.
#[derive(Default)]
struct Life {
    own: Vec<String>,
    born: usize,
    knows_shared: bool,
}

impl Life {
    /// A few ops: inserts, edits and removals of its own documents, edits of those that all share.
    fn write(&mut self, node: &mut Node, rng: &mut Rng) {
        if !std::mem::replace(&mut self.knows_shared, true) {
            (0..SHARED).for_each(|number| node.write(Deed::Insert, NOTES, &format!("shared-{number}")));
        }
        for _ in 0..rng.usize(1..12) {
            match rng.u32(0..10) {
                0..=4 => {
                    self.born += 1;
                    let id = format!("{}-doc-{}", node.name, self.born);
                    node.write(Deed::Insert, NOTES, &id);
                    self.own.push(id);
                }
                5..=6 if !self.own.is_empty() => {
                    let id = self.own[rng.usize(..self.own.len())].clone();
                    node.write(Deed::Update, NOTES, &id);
                }
                7 if !self.own.is_empty() => {
                    let id = self.own.swap_remove(rng.usize(..self.own.len()));
                    node.write(Deed::Remove, NOTES, &id);
                }
                _ => node.write(Deed::Update, NOTES, &format!("shared-{}", rng.usize(..SHARED))),
            }
        }
    }
}
