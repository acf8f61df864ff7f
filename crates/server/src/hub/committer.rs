//! The one writer of a space (steps 4 to 7 of the life of a change): drains the queue into groups,
//! commits each group with one store call, then wakes readers and answers. Where the store has other writers, a group
//! grows until it is its turn.

use super::log_state::LogState;
use crate::error::ServerError;
use crate::meters::Meters;
use crate::options::{Bounds, Settings};
use crate::shares::Piece;
use crate::store::{Head, Store, StoreError};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use syncline_core::hub::{Decision, Entry, Loaded, Moment, Reply, WriteSet, decide, is_rule_code, touch};
use syncline_core::model::{Author, CollectionName, Intake, Lsn, Millis, NodeId, SpaceName};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

/// What a committed push is answered with.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Where the log stands after the commit.
    pub head: Head,
    /// The decision.
    pub reply: Reply,
}

/// What a push may take of the memory for bodies (`limits.inflight_body_bytes`, `limits.space_body_bytes`); given back
/// when the last who holds it is done.
pub type Share = Option<Arc<Memory>>;

/// Memory for a body: of what all bodies may take, and of what those of its space may.
#[derive(Debug)]
pub struct Memory {
    pub(crate) of_all: OwnedSemaphorePermit,
    pub(crate) of_space: Vec<Piece<SpaceName>>,
}

/// A push on its way to its commit. Its memory counts until then, also when nobody waits for it any more.
pub(super) struct Job {
    pub(super) intake: Intake,
    pub(super) share: Share,
    pub(super) answer: Answer,
}

type Answer = oneshot::Sender<Result<Pushed, ServerError>>;
type Queue = Arc<Mutex<mpsc::Receiver<Job>>>;

pub(super) struct Committer {
    pub(super) space: SpaceName,
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) meters: Arc<Meters>,
    pub(super) log: Arc<LogState>,
}

/// What the decision leaves behind beside the rows.
#[derive(Default)]
struct Outcome {
    /// Where the log ended before.
    before: Lsn,
    replies: Vec<Reply>,
    authors: Vec<(NodeId, Author)>,
    touched: BTreeMap<CollectionName, Lsn>,
    owners: BTreeMap<NodeId, NodeId>,
    /// Ops that were refused because of rules, by their codes.
    rule_refusals: BTreeMap<String, u64>,
}

/// Pushes that share a commit, and what the decision about them leaves behind.
#[derive(Default)]
struct Group {
    intakes: Vec<Intake>,
    answers: Vec<Answer>,
    shares: Vec<Share>,
    ops: usize,
    /// When the last of them was taken in.
    now: Millis,
    outcome: Outcome,
}

impl Group {
    /// Pushes whose sender has given up are dropped: they will be repeated.
    fn add(&mut self, job: Job) {
        if !job.answer.is_closed() {
            self.ops += weight(&job.intake);
            self.intakes.push(job.intake);
            self.answers.push(job.answer);
            self.shares.push(job.share);
        }
    }

    /// Takes what else is waiting, within the limits of a group.
    fn gather(&mut self, queue: &Queue, bounds: &Bounds) {
        let mut jobs = lock(queue);
        while self.intakes.len() < bounds.group_pushes && self.ops < bounds.group_ops {
            let Ok(job) = jobs.try_recv() else { break };
            self.add(job);
        }
    }

    fn decide(&mut self, loaded: Loaded, settings: &Settings) -> WriteSet {
        let authors = loaded.nodes.iter().map(|(node, state)| (node.clone(), state.author)).collect();
        let before = loaded.head;
        let moment = Moment { now: self.now, limits: settings.limits };
        let Decision { writes, replies } = decide(loaded, &self.intakes, moment);
        let (touched, owners, rule_refusals) = (touched_by(&writes), writes.owners.clone(), rule_refusals(&writes));
        self.outcome = Outcome { before, replies, authors, touched, owners, rule_refusals };
        writes
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Committer {
    /// Runs until the queue is closed and empty. After `closing` nothing new is taken in.
    pub(super) async fn run(self, jobs: mpsc::Receiver<Job>, mut closing: watch::Receiver<bool>) {
        let queue: Queue = Arc::new(Mutex::new(jobs));
        let mut open = true;
        loop {
            let first = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing), if open => {
                    open = false;
                    lock(&queue).close();
                    continue;
                }
                job = poll_fn(|context| lock(&queue).poll_recv(context)) => job,
            };
            let Some(first) = first else { return };
            let mut group = Group::default();
            group.add(first);
            group.gather(&queue, &self.settings.bounds);
            if !group.intakes.is_empty() {
                self.commit_apart_if_needed(group, &queue).await;
            }
        }
    }

    /// Commits a group; when that fails, each push alone, so that one bad push fails by itself.
    async fn commit_apart_if_needed(&self, group: Group, queue: &Queue) {
        if let Some(error) = self.log.failure().filter(|_| self.log.is_set_back()) {
            return answer_failed(group.answers, error);
        }
        let (group, committed) = self.commit(group, Some(Arc::clone(queue))).await;
        let error = match committed {
            Ok(pushed) => return answer_all(group.answers, pushed),
            Err(error) => error,
        };
        if !matches!(error, StoreError::Entangled) {
            tracing::error!(space = %self.space, %error, pushes = group.intakes.len(), "a commit failed");
        }
        let stopped = matches!(
            error,
            StoreError::Poisoned { .. } | StoreError::Damaged { .. } | StoreError::SetBack { .. } | StoreError::Closed
        );
        match &error {
            StoreError::Poisoned { cause } => self.log.fail(cause.clone()),
            StoreError::SetBack { why } => self.log.set_back(why.clone()),
            _ => {}
        }
        if group.intakes.len() == 1 || stopped {
            return answer_failed(group.answers, error);
        }
        let Group { intakes, answers, shares, .. } = group;
        for ((intake, answer), share) in intakes.into_iter().zip(answers).zip(shares) {
            let mut alone = Group::default();
            alone.add(Job { intake, share, answer });
            if alone.intakes.is_empty() {
                continue;
            }
            match self.commit(alone, None).await {
                (alone, Ok(pushed)) => answer_all(alone.answers, pushed),
                (alone, Err(error)) => answer_failed(alone.answers, error),
            }
        }
    }

    /// Commits a group, with what comes into the queue until it is its turn.
    async fn commit(&self, group: Group, queue: Option<Queue>) -> (Group, Result<Vec<Pushed>, StoreError>) {
        let (started, settings, group) = (Instant::now(), self.settings, Arc::new(Mutex::new(group)));
        let (gathered, decided) = (Arc::clone(&group), Arc::clone(&group));
        let gather = Box::new(move || {
            let mut group = lock(&gathered);
            if let Some(queue) = &queue {
                group.gather(queue, &settings.bounds);
            }
            group.now = settings.clock.now();
            touch(&group.intakes)
        });
        let decide = Box::new(move |loaded: Loaded| lock(&decided).decide(loaded, &settings));
        let committed = self.store.commit_gathered(&self.space, gather, decide).await;

        let mut group = std::mem::take(&mut *lock(&group));
        let outcome = std::mem::take(&mut group.outcome);
        let pushed = committed.map(|head| {
            self.meters.committed(started.elapsed(), &outcome.replies);
            for (code, ops) in outcome.rule_refusals {
                self.log.count_rule_refusals(ops);
                self.meters.rules_refused(code, ops);
            }
            self.log.give(outcome.owners);
            self.log.advance(outcome.before, head.clone(), outcome.touched, outcome.authors);
            outcome.replies.into_iter().map(|reply| Pushed { head: head.clone(), reply }).collect()
        });
        (group, pushed)
    }
}

fn touched_by(writes: &WriteSet) -> BTreeMap<CollectionName, Lsn> {
    let mut touched = BTreeMap::new();
    for entry in &writes.entries {
        if let Entry::Change(change) = entry {
            match touched.get_mut(&change.collection) {
                Some(lsn) => *lsn = change.version.lsn,
                None => drop(touched.insert(change.collection.clone(), change.version.lsn)),
            }
        }
    }
    touched
}

fn rule_refusals(writes: &WriteSet) -> BTreeMap<String, u64> {
    let mut refusals = BTreeMap::new();
    for row in writes.quarantine.iter().filter(|row| is_rule_code(&row.code)) {
        *refusals.entry(row.code.clone()).or_default() += 1;
    }
    refusals
}

fn weight(intake: &Intake) -> usize {
    match intake {
        Intake::Own(batch) => batch.steps.len(),
        Intake::Foreign(batch) => batch.ops.len(),
        Intake::Packet(packet) => packet.entities.len(),
        Intake::Dispatch(dispatch) => dispatch.held.len(),
        Intake::Live(batch) => batch.events.iter().map(|event| event.names().count().max(1)).sum(),
        Intake::Expiry(expiry) => expiry.docs.len(),
        Intake::Mend(_) => 1,
    }
}

/// A sender that has gone away meanwhile is answered from the receipts when it asks again.
fn answer_all(answers: Vec<Answer>, pushed: Vec<Pushed>) {
    let mut pushed = pushed.into_iter();
    for answer in answers {
        let result = pushed.next().ok_or_else(|| ServerError::Bug("a push was decided without a reply".to_owned()));
        drop(answer.send(result));
    }
}

fn answer_failed(answers: Vec<Answer>, error: StoreError) {
    let error = Arc::new(error);
    for answer in answers {
        drop(answer.send(Err(ServerError::CommitFailed(Arc::clone(&error)))));
    }
}
