//! The one writer of a space (steps 4 to 7 of the life of a change): drains the queue into groups,
//! commits each group with one store call, then wakes readers and answers.

use super::log_state::LogState;
use crate::error::ServerError;
use crate::meters::Meters;
use crate::options::Settings;
use crate::store::{Head, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use syncline_core::hub::{Decision, Entry, Loaded, Moment, Reply, WriteSet, decide, is_rule_code, touch};
use syncline_core::model::{Author, CollectionName, Intake, Lsn, NodeId, SpaceName};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

/// What a committed push is answered with.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Where the log stands after the commit.
    pub head: Head,
    /// The decision.
    pub reply: Reply,
}

/// What a push may take of the memory for bodies (`limits.inflight_body_bytes`); given back when the last
/// who holds it is done.
pub type Share = Option<Arc<OwnedSemaphorePermit>>;

/// A push on its way to its commit. Its memory counts until then, also when nobody waits for it any more.
pub(super) struct Job {
    pub(super) intake: Intake,
    pub(super) share: Share,
    pub(super) answer: oneshot::Sender<Result<Pushed, ServerError>>,
}

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

impl Committer {
    /// Runs until the queue is closed and empty. After `closing` nothing new is taken in.
    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>, mut closing: watch::Receiver<bool>) {
        let mut open = true;
        loop {
            let first = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing), if open => {
                    open = false;
                    jobs.close();
                    continue;
                }
                job = jobs.recv() => job,
            };
            let Some(first) = first else { return };
            let group = self.group(first, &mut jobs);
            self.commit_apart_if_needed(group).await;
        }
    }

    /// Takes what else is waiting, within the limits of a group. Pushes whose sender has given up
    /// are dropped: they will be repeated.
    fn group(&self, first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
        let bounds = &self.settings.bounds;
        let mut ops = weight(&first.intake);
        let mut group = vec![first];
        while group.len() < bounds.group_pushes && ops < bounds.group_ops {
            let Ok(job) = jobs.try_recv() else { break };
            ops += weight(&job.intake);
            group.push(job);
        }
        group.retain(|job| !job.answer.is_closed());
        group
    }

    /// Commits a group; when that fails, each push alone, so that one bad push fails by itself.
    async fn commit_apart_if_needed(&self, group: Vec<Job>) {
        let (mut intakes, mut answers, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for Job { intake, share, answer } in group {
            intakes.push(intake);
            answers.push(answer);
            shares.push(share);
        }
        if intakes.is_empty() {
            return;
        }
        if let Some(error) = self.log.failure().filter(|_| self.log.is_set_back()) {
            return answer_failed(answers, error);
        }
        let intakes: Arc<[Intake]> = intakes.into();
        let error = match self.commit(Arc::clone(&intakes)).await {
            Ok(pushed) => return answer_all(answers, pushed),
            Err(error) => error,
        };
        if !matches!(error, StoreError::Entangled) {
            tracing::error!(space = %self.space, %error, pushes = intakes.len(), "a commit failed");
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
        if intakes.len() == 1 || stopped {
            return answer_failed(answers, error);
        }
        for (intake, answer) in intakes.iter().zip(answers) {
            let alone = self.commit(Arc::from([intake.clone()])).await;
            match alone {
                Ok(pushed) => answer_all(vec![answer], pushed),
                Err(error) => answer_failed(vec![answer], error),
            }
        }
    }

    async fn commit(&self, group: Arc<[Intake]>) -> Result<Vec<Pushed>, StoreError> {
        let started = Instant::now();
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let moment = Moment { now: self.settings.clock.now(), limits: self.settings.limits };
        let touch = touch(&group);
        let seen = Arc::clone(&outcome);
        let decide = Box::new(move |loaded: Loaded| {
            let authors = loaded.nodes.iter().map(|(node, state)| (node.clone(), state.author)).collect();
            let before = loaded.head;
            let Decision { writes, replies } = decide(loaded, &group, moment);
            let (touched, owners, rule_refusals) = (touched_by(&writes), writes.owners.clone(), rule_refusals(&writes));
            *seen.lock().unwrap_or_else(PoisonError::into_inner) =
                Outcome { before, replies, authors, touched, owners, rule_refusals };
            writes
        });
        let head = self.store.commit(&self.space, touch, decide).await?;

        let outcome = std::mem::take(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner));
        self.meters.committed(started.elapsed(), &outcome.replies);
        for (code, ops) in outcome.rule_refusals {
            self.log.count_rule_refusals(ops);
            self.meters.rules_refused(code, ops);
        }
        self.log.give(outcome.owners);
        self.log.advance(outcome.before, head.clone(), outcome.touched, outcome.authors);
        Ok(outcome.replies.into_iter().map(|reply| Pushed { head: head.clone(), reply }).collect())
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
fn answer_all(answers: Vec<oneshot::Sender<Result<Pushed, ServerError>>>, pushed: Vec<Pushed>) {
    let mut pushed = pushed.into_iter();
    for answer in answers {
        let result = pushed.next().ok_or_else(|| ServerError::Bug("a push was decided without a reply".to_owned()));
        drop(answer.send(result));
    }
}

fn answer_failed(answers: Vec<oneshot::Sender<Result<Pushed, ServerError>>>, error: StoreError) {
    let error = Arc::new(error);
    for answer in answers {
        drop(answer.send(Err(ServerError::CommitFailed(Arc::clone(&error)))));
    }
}
