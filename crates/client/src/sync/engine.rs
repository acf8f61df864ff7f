//! The thread that runs a session (steps 2 and 9 of the life of a change): it feeds events to the
//! machine and carries out the effects. Has a tokio runtime of its own, so the library works in
//! programs with and without one. Decides nothing.

use super::api::ApiClient;
use super::exchange::Exchange;
use super::listeners::Listeners;
use super::local::{Local, Outgoing};
use super::options::LoggingOptions;
use crate::sync_error::SyncError;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use syncline_core::model::{CollectionName, Millis, NodeId};
use syncline_core::session::{
    Effect, Enable, Event, Failure, Refusals, Report, RequestId, Session, Settings, Status, SyncEvent, Ticket,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// Told once how the cycle that was asked for ended, and what the hub refuses at that time.
pub(super) type Waiter = Box<dyn FnOnce(Result<Report, String>, &Refusals) + Send>;

/// With what an engine is started.
pub(super) struct Setup {
    pub(super) local: Box<dyn Local>,
    pub(super) api: Arc<dyn ApiClient>,
    pub(super) settings: Settings,
    pub(super) logging: LoggingOptions,
    pub(super) listeners: Arc<Listeners>,
    /// Rung after each local write.
    pub(super) wrote: Arc<Notify>,
}

/// A running engine. Dropping it ends the thread and waits for the write in flight, so that the
/// database file is free afterwards.
pub(super) struct Engine {
    commands: Option<mpsc::UnboundedSender<Command>>,
    session: Arc<Mutex<Session>>,
    clock: Clock,
    thread: Option<JoinHandle<()>>,
    thread_id: ThreadId,
}

enum Command {
    Enable(BTreeSet<CollectionName>),
    Rescope(BTreeSet<CollectionName>),
    Disable,
    Trigger(Waiter),
}

impl Engine {
    /// Starts the thread; the session is still switched off.
    pub(super) fn start(setup: Setup) -> Result<Engine, SyncError> {
        let failed = |e: std::io::Error| SyncError::Thread(e.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let session = Arc::new(Mutex::new(Session::new(setup.settings)));
        let clock = Clock::start();
        let worker = Worker::new(setup, session.clone(), clock)?;
        let thread = std::thread::Builder::new()
            .name("syncline-sync".into())
            .spawn(move || run(&runtime, worker, inbox))
            .map_err(failed)?;
        let thread_id = thread.thread().id();
        Ok(Engine { commands: Some(commands), session, clock, thread: Some(thread), thread_id })
    }

    /// Switches the session on, or starts it anew.
    pub(super) fn enable(&self, scope: BTreeSet<CollectionName>) {
        self.command(Command::Enable(scope));
    }

    /// Changes the set of collections.
    pub(super) fn rescope(&self, scope: BTreeSet<CollectionName>) {
        self.command(Command::Rescope(scope));
    }

    /// Switches the session off.
    pub(super) fn disable(&self) {
        self.command(Command::Disable);
    }

    /// Asks for a full cycle.
    pub(super) fn trigger(&self, waiter: Waiter) {
        self.command(Command::Trigger(waiter));
    }

    /// How the session stands.
    pub(super) fn status(&self) -> Status {
        lock(&self.session).status(self.clock.now())
    }

    /// Tells the thread to end, and does not wait for it.
    pub(super) fn stop(&mut self) {
        self.commands = None;
    }

    /// Whether the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether the caller is a listener that runs on the engine's own thread.
    pub(super) fn is_own_thread(&self) -> bool {
        std::thread::current().id() == self.thread_id
    }

    fn command(&self, command: Command) {
        let rejected = match &self.commands {
            Some(commands) => commands.send(command).err().map(|e| e.0),
            None => Some(command),
        };
        if let Some(Command::Trigger(waiter)) = rejected {
            waiter(Err("sync has stopped".to_owned()), &Refusals::default());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take().filter(|_| !self.is_own_thread()) {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn run(runtime: &Runtime, worker: Worker, inbox: mpsc::UnboundedReceiver<Command>) {
    runtime.block_on(worker.run(inbox));
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wall-clock time that never steps: sessions measure with it.
#[derive(Clone, Copy)]
struct Clock {
    wall: Duration,
    start: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock { wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), start: Instant::now() }
    }

    fn now(&self) -> Millis {
        let time = self.wall + self.start.elapsed();
        Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The engine's inside, owned by its thread.
struct Worker {
    setup: Setup,
    node: NodeId,
    session: Arc<Mutex<Session>>,
    clock: Clock,
    scope: BTreeSet<CollectionName>,
    enabled: bool,
    wake: Option<Millis>,
    requests: BTreeMap<RequestId, AbortHandle>,
    reports: mpsc::Sender<Event>,
    reported: mpsc::Receiver<Event>,
    waiters: BTreeMap<Ticket, Waiter>,
    last_ticket: u64,
}

impl Worker {
    fn new(setup: Setup, session: Arc<Mutex<Session>>, clock: Clock) -> Result<Worker, SyncError> {
        let (reports, reported) = mpsc::channel(1);
        Ok(Worker {
            node: setup.local.node()?,
            setup,
            session,
            clock,
            scope: BTreeSet::new(),
            enabled: false,
            wake: None,
            requests: BTreeMap::new(),
            reports,
            reported,
            waiters: BTreeMap::new(),
            last_ticket: 0,
        })
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let wrote = self.setup.wrote.clone();
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                () = wrote.notified() => self.wrote(),
                Some(event) = self.reported.recv() => self.feed(event),
                () = until(self.wake, self.clock), if self.wake.is_some() => {
                    self.wake = None;
                    self.feed(Event::Tick);
                }
            }
        }
        self.feed(Event::Disable);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Enable(scope) => {
                self.scope = scope;
                self.enabled = true;
                self.start();
            }
            Command::Rescope(scope) => {
                self.scope = scope;
                match self.setup.local.positions(&self.scope) {
                    Ok(positions) => self.feed(Event::Rescope(positions)),
                    Err(cause) => self.broken(cause),
                }
                self.wrote();
            }
            Command::Disable => {
                self.enabled = false;
                self.feed(Event::Disable);
            }
            Command::Trigger(waiter) => {
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.waiters.insert(ticket, waiter);
                self.feed(Event::Trigger(ticket));
            }
        }
    }

    fn start(&mut self) {
        let local = &mut self.setup.local;
        let read = local.positions(&self.scope).and_then(|at| Ok((at, local.backlog(&self.scope)?)));
        match read {
            Ok((positions, backlog)) => {
                self.feed(Event::Enable(Enable { positions, backlog, jitter_seed: fastrand::u64(..) }));
            }
            Err(cause) => self.broken(cause),
        }
    }

    /// The database cannot even say where it stands: sync goes off and says why.
    fn broken(&mut self, cause: String) {
        self.enabled = false;
        self.feed(Event::Disable);
        let message = format!("sync stopped: the local database failed: {cause}");
        self.tell(&SyncEvent::Error { collection: None, message, original_error: cause });
    }

    fn wrote(&mut self) {
        if self.enabled {
            // A database that cannot count fails the next write of the cycle, which is reported.
            if let Ok(backlog) = self.setup.local.backlog(&self.scope) {
                self.feed(Event::Wrote(backlog));
            }
        }
    }

    /// Hands an event to the session and carries out what it wants, until it wants nothing more at once.
    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let effects = lock(&self.session).handle(self.clock.now(), event);
            for effect in effects {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Send(id, request) => {
                let (packet, told) = match self.setup.local.outgoing(&request) {
                    Ok(Outgoing::Plain { told }) => (None, told),
                    Ok(Outgoing::Packet(packet)) => (Some(packet), None),
                    Ok(Outgoing::Known(answer)) => return Some(Event::Answered(id, answer)),
                    Err(cause) => return Some(Event::Failed(id, Failure::Storage(cause))),
                };
                let (api, node, reports) = (self.setup.api.clone(), self.node.clone(), self.reports.clone());
                let task = tokio::spawn(Exchange { api, node, id, told, reports }.run(request, packet));
                self.requests.retain(|_, request| !request.is_finished());
                self.requests.insert(id, task.abort_handle());
            }
            Effect::Cancel(id) => {
                if let Some(request) = self.requests.remove(&id) {
                    request.abort();
                }
            }
            Effect::Store(id, write) => {
                return Some(match self.setup.local.carry_out(&self.scope, write) {
                    Ok(stored) => {
                        if let Some(renamed) = &stored.renamed {
                            self.node = renamed.now.clone();
                        }
                        Event::Stored(id, stored)
                    }
                    Err(cause) => Event::Failed(id, Failure::Storage(cause)),
                });
            }
            Effect::WakeAt(time) => self.wake = Some(time),
            Effect::Emit(event) => self.tell(&event),
            Effect::Settle(tickets, result) => {
                let refused = lock(&self.session).status(self.clock.now()).refused;
                for waiter in tickets.iter().filter_map(|ticket| self.waiters.remove(ticket)) {
                    waiter(result.clone(), &refused);
                }
            }
        }
        None
    }

    fn tell(&self, event: &SyncEvent) {
        self.setup.listeners.tell(event, self.setup.logging);
    }
}

/// Ends at this time; never, without one.
async fn until(time: Option<Millis>, clock: Clock) {
    match time {
        Some(time) => tokio::time::sleep(Duration::from_millis(time.0.saturating_sub(clock.now().0))).await,
        None => std::future::pending().await,
    }
}
