//! The store that several workers share: one PostgreSQL database. A space's row is its lock, so LSNs are taken in the
//! order of commits; statements are set-oriented and sent together; nothing is kept in a session between
//! transactions, so that failover and poolers between take nothing away.

mod authors;
mod clients;
mod commit;
mod examine;
mod history;
mod hub;
mod known;
mod list;
mod load;
mod log_rows;
mod mark;
mod news;
mod nodes;
mod options;
mod packets;
mod pipeline;
mod pool;
mod register;
mod replica;
mod rows;
mod rules;
mod scan;
mod schema;
mod select;
mod space;
mod trim;
mod trouble;
mod turn;
mod unique;
mod whole;
mod write;

pub use examine::{DatabaseFacts, Follower, LongTransaction, examine};
pub use options::Options;
pub(in crate::store) use pipeline::{Param, stream, text};
pub(in crate::store) use pool::Session;
pub use syncline_postgres::Url;
pub(in crate::store) use trouble::Failure;
pub(in crate::store) use whole::{moving_from, moving_into, said};

use super::{
    ConflictRow, Decide, Encoder, ExpiredRow, FailedSpaces, Gather, Head, Heard, Holders, LateRows, ListQuery, NodeRow,
    QuarantineRow, Record, RecordKind, Scan, Scanned, Store, StoreError, Trim, Trimmed,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use history::Seen;
use news::Messenger;
use pool::Pools;
use replica::Replica;
use rules::Rules;
use scan::Reader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use syncline_core::hub::{DocKey, Touch};
use syncline_core::model::{
    Author, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use tokio::sync::mpsc;
use trim::Stage;
use trouble::{Patience, told};
use turn::Crowds;

/// Keeps spaces in a database. Needs a tokio runtime with time.
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    pools: Pools,
    /// Serves long readings where it is as far.
    replica: Option<Replica>,
    place: String,
    options: Options,
    messenger: Arc<Messenger>,
    rules: Rules,
    seen: Seen,
    crowds: Crowds,
    /// The last commit found the disk full. The next one may not.
    is_full: AtomicBool,
}

/// Makes attempts until one succeeds or none is worth it any more.
macro_rules! patiently {
    ($shared:expr, $action:expr, $attempt:expr) => {{
        let mut patience = Patience::new(&$shared.options);
        loop {
            match $attempt.await {
                Ok(done) => break Ok(done),
                Err(failure) => {
                    if let Err(error) = patience.again(&$shared.place, $action, failure).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}

impl PostgresStore {
    /// Connects, and makes the tables where they are missing.
    ///
    /// # Errors
    /// [`StoreError::Database`] says what is wrong and what to do; [`StoreError::NewerSchema`].
    pub async fn open(url: &Url, options: Options) -> Result<PostgresStore, StoreError> {
        PostgresStore::open_beside(None, url, options).await
    }

    /// The same with a replica of the database: a streaming one, which serves long readings where it has come as far as
    /// the primary. Whether it is there is seen when it is wanted.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_beside(replica: Option<&Url>, url: &Url, options: Options) -> Result<PostgresStore, StoreError> {
        let shared = Arc::new(Shared {
            pools: Pools::new(url, &options)?,
            replica: replica.map(|url| Replica::new(url, &options)).transpose()?,
            place: url.to_string(),
            options,
            messenger: Arc::new(Messenger::new(url.clone())),
            rules: Rules::default(),
            seen: Seen::default(),
            crowds: Crowds::default(),
            is_full: AtomicBool::new(false),
        });
        patiently!(shared, "making the tables", schema::prepare(&shared.pools, &shared.place))?;
        Ok(PostgresStore { shared })
    }

    async fn trim_space(&self, space: &SpaceName, trim: Trim) -> Result<Trimmed, StoreError> {
        let pools = &self.shared.pools;
        let (mut stage, mut trimmed) = (Stage::Horizon, Trimmed::default());
        while !matches!(stage, Stage::Done) {
            let step = patiently!(self.shared, "trimming", trim::step(pools, space, stage.clone(), trim, trimmed));
            (stage, trimmed) = step?;
        }
        Ok(trimmed)
    }
}

/// Once begun it goes on, even if the caller goes away.
async fn commit(
    shared: Arc<Shared>,
    space: SpaceName,
    mut gather: Gather,
    mut decide: Decide,
) -> Result<Head, StoreError> {
    let disk = Arc::clone(&shared);
    let attempts = async move {
        let (action, pools, mut patience) =
            ("writing a group of pushes", &shared.pools, Patience::new(&shared.options));
        let head = loop {
            let (tools, seen) = ((pools, &shared.rules, &shared.crowds), shared.seen.now(&space));
            match commit::attempt(tools, (&space, seen), (&mut gather, &mut decide)).await {
                Ok(head) => break head,
                Err(Failure::Unanswered(error, mark)) => {
                    let looked = patiently!(shared, action, commit::look_again(pools, &space, mark));
                    if let Some(head) = looked? {
                        break head;
                    }
                    patience.again(&shared.place, action, Failure::Engine(error)).await?;
                }
                Err(failure) => patience.again(&shared.place, action, failure).await?,
            }
        };
        shared.seen.note(&space, &head);
        shared.messenger.tell(&space, head.lsn);
        Ok(head)
    };
    let done = tokio::spawn(attempts).await.map_err(StoreError::engine("committing"))?;
    match &done {
        Ok(_) => disk.is_full.store(false, Ordering::Relaxed),
        Err(StoreError::NoRoom { .. }) => disk.is_full.store(true, Ordering::Relaxed),
        Err(_) => {}
    }
    done
}

impl Store for PostgresStore {
    fn open_space<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move {
            let head = patiently!(self.shared, "making a space", hub::open_space(&self.shared.pools, space))?;
            self.shared.seen.note(space, &head);
            Ok(head)
        }
        .boxed()
    }

    fn spaces(&self) -> BoxFuture<'_, Result<Vec<SpaceName>, StoreError>> {
        async move { patiently!(self.shared, "listing spaces", hub::spaces(&self.shared.pools)) }.boxed()
    }

    fn head<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>> {
        async move {
            let (pools, action) = (&self.shared.pools, "looking where a log stands");
            let before = self.shared.seen.now(space);
            let head = patiently!(self.shared, action, hub::state(pools, space))?.head;
            match before {
                Some(seen) if history::is_set_back(Some(&seen), &head) => {
                    Err(told(&self.shared.place, action, history::set_back(pools, space, seen).await))
                }
                _ => {
                    self.shared.seen.note(space, &head);
                    Ok(head)
                }
            }
        }
        .boxed()
    }

    fn commit<'a>(
        &'a self,
        space: &'a SpaceName,
        touch: Touch,
        decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        self.commit_gathered(space, Box::new(move || touch.clone()), decide)
    }

    fn commit_gathered<'a>(
        &'a self,
        space: &'a SpaceName,
        gather: Gather,
        decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        commit(Arc::clone(&self.shared), space.clone(), gather, decide).boxed()
    }

    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Scanned, StoreError>> {
        async move {
            let (from, action) = ((&self.shared.pools, self.shared.replica.as_ref()), "reading the log");
            let mut patience = Patience::new(&self.shared.options);
            let mut reader = Some(Reader { encoder, out, stall: self.shared.options.reader_stall });
            loop {
                let seen = self.shared.seen.now(space).map(|(_, lsn)| lsn);
                let failure = match scan::run(from, (space, seen), &scan, &mut reader).await {
                    Ok(scanned) => return Ok(scanned),
                    Err(failure) => failure,
                };
                if reader.is_none() {
                    return Err(told(&self.shared.place, action, failure));
                }
                patience.again(&self.shared.place, action, failure).await?;
            }
        }
        .boxed()
    }

    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> BoxFuture<'a, Result<Trimmed, StoreError>> {
        self.trim_space(space, trim).boxed()
    }

    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ExpiredRow>, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "reading what has expired", list::expired(pools, space, by, after, limit))
        }
        .boxed()
    }

    fn conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<ConflictRow>, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "reading the conflict ledger", list::conflicts(pools, space, &query))
        }
        .boxed()
    }

    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<LateRows, StoreError>> {
        async move {
            let (pools, action) = (&self.shared.pools, "reading the conflict ledger");
            patiently!(self.shared, action, list::late_conflicts(pools, space, author, after, limit))
        }
        .boxed()
    }

    fn quarantine<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<QuarantineRow>, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "reading the quarantine", list::quarantine(pools, space, &query))
        }
        .boxed()
    }

    fn documents<'a>(
        &'a self,
        space: &'a SpaceName,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<(DocKey, Version)>, StoreError>> {
        async move { patiently!(self.shared, "reading documents", list::documents(&self.shared.pools, space, &docs)) }
            .boxed()
    }

    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> BoxFuture<'a, Result<Holders, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "reading unique values", list::holders(pools, space, &values, (most, at)))
        }
        .boxed()
    }

    fn nodes<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Vec<NodeRow>, StoreError>> {
        async move { patiently!(self.shared, "reading the nodes", list::nodes(&self.shared.pools, space)) }.boxed()
    }

    fn node<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
    ) -> BoxFuture<'a, Result<Option<NodeRow>, StoreError>> {
        async move { patiently!(self.shared, "reading a node", list::node(&self.shared.pools, space, node)) }.boxed()
    }

    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            let (pools, before) = (&self.shared.pools, before.as_ref());
            patiently!(self.shared, "registering a node", register::register(pools, space, &registration, before))
        }
        .boxed()
    }

    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> BoxFuture<'a, Result<bool, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "removing a node's registration", register::unregister(pools, space, node))
        }
        .boxed()
    }

    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<Vec<(Registration, Traffic)>, StoreError>> {
        async move {
            patiently!(self.shared, "reading registrations", list::registered(&self.shared.pools, space, node))
        }
        .boxed()
    }

    fn held<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<Holding>, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "reading what a node holds", list::held(pools, space, node, &docs))
        }
        .boxed()
    }

    fn note_cursors<'a>(
        &'a self,
        space: &'a SpaceName,
        cursors: Vec<(NodeId, Lsn, Millis)>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "noting cursors", register::note_cursors(pools, space, &cursors))
        }
        .boxed()
    }

    fn records(&self, kind: RecordKind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        async move { patiently!(self.shared, "reading records", hub::records(&self.shared.pools, kind)) }.boxed()
    }

    fn put_record(
        &self,
        kind: RecordKind,
        key: String,
        value: Option<String>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let pools = &self.shared.pools;
            patiently!(self.shared, "writing a record", hub::put_record(pools, kind, &key, value.as_deref()))?;
            self.shared.messenger.tell_of_records();
            Ok(())
        }
        .boxed()
    }

    fn add_record(&self, kind: RecordKind, key: String, value: String) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            let pools = &self.shared.pools;
            let added = patiently!(self.shared, "writing a record", hub::add_record(pools, kind, &key, &value))?;
            self.shared.messenger.tell_of_records();
            Ok(added)
        }
        .boxed()
    }

    fn replace_record(
        &self,
        kind: RecordKind,
        key: String,
        before: String,
        value: String,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            let write = || hub::replace_record(&self.shared.pools, kind, &key, (&before, &value));
            let replaced = patiently!(self.shared, "writing a record", write())?;
            self.shared.messenger.tell_of_records();
            Ok(replaced)
        }
        .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<FailedSpaces, StoreError>> {
        async move {
            let (pools, place) = (&self.shared.pools, &self.shared.place);
            let checked = async {
                hub::check(pools, place).await?;
                if self.shared.is_full.load(Ordering::Relaxed) { hub::check_room(pools).await } else { Ok(()) }
            };
            let checked = checked.await.map_err(|failure| told(place, "looking after the database", failure));
            checked.map(|()| FailedSpaces::new())
        }
        .boxed()
    }

    fn hand_out(&self, _out: mpsc::Sender<Bytes>) -> BoxFuture<'_, Result<(), StoreError>> {
        let reason = "a database is backed up by PostgreSQL's own tools, e.g. `pg_dump --schema=syncline`".to_owned();
        let place = self.shared.place.clone();
        futures_util::future::ready(Err(StoreError::Backup { place, reason })).boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn listen(&self) -> Option<mpsc::Receiver<Heard>> {
        Arc::clone(&self.shared.messenger).start(self.shared.options.connect_timeout)
    }

    /// Connections are few and serve every space.
    fn close_idle(&self) -> BoxFuture<'_, ()> {
        futures_util::future::ready(()).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.shared.pools.close();
        self.shared.replica.iter().for_each(Replica::close);
        self.shared.messenger.stop();
        futures_util::future::ready(Ok(())).boxed()
    }
}
