//! A database that is attached, one step at a time: made ready, a packet composed, an answer taken in. Reads the clock
//! and draws ids; never waits for the network.

use crate::catalogue::Catalogue;
use crate::error::AttachError;
use crate::incoming::{self, Manner};
use crate::mapping::Mapping;
use crate::outgoing;
use crate::packet::{self, Ends};
use crate::plan::{Plan, TypePlan};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::work::{Database, Standing, Work};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline_core::model::Millis;
use syncline_core::wire::exchange::is_uuid;

pub use crate::incoming::Taken;
pub use crate::work::{Aside, Conflict};

/// Rows that are registered in one transaction while tables are filled.
const FILL_ROWS: usize = 1_000;

/// Looks at the queue in one transaction: rows that have not changed after all must not hold the application up.
const STEPS_MAX: usize = 20;

/// Objects of one packet for which the application may undo the whole transaction, before the round gives up.
const BARRED_MAX: usize = 1_000;

/// How a database is attached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its id as a node: a UUID [default: the one that it has, else a new one].
    pub node: Option<String>,
    /// How long a lock of the application is waited for.
    pub busy_timeout_ms: u64,
    /// Rows in one packet.
    pub packet_rows: usize,
    /// Triggers that are missing are made again, and all rows compared with what was exchanged.
    pub mend: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { node: None, busy_timeout_ms: 5_000, packet_rows: 2_000, mend: false }
    }
}

/// A database of an application as a node.
pub struct Attachment {
    db: Database,
    mapping: Mapping,
    plan: Plan,
    options: Options,
    remarks: Vec<String>,
    /// The number of the next packet, drawn with the last answer.
    drawn: Option<u64>,
}

/// A packet that is to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub number: u64,
    /// The hub's packet that it confirms.
    pub ack: u64,
    /// The envelope: the body of `POST /api/sync/exchange`.
    pub text: String,
    /// Objects in it.
    pub entities: u64,
    /// Objects that were to be in it and cannot be sent.
    pub kept_back: u64,
}

/// Where an attached database stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its id as a node.
    pub node: String,
    /// The hub's id.
    pub hub: String,
    /// The last packet of the hub that is stored.
    pub received_packet_no: u64,
    /// The last own packet that the hub has confirmed.
    pub sent_packet_no: u64,
    /// When a packet of the hub was last stored.
    pub last_sync_in: Option<String>,
    /// When the hub last confirmed an own packet.
    pub last_sync_out: Option<String>,
    /// Everything that the hub had at first contact is here.
    pub filled_in: bool,
    /// The rows of all tables have been registered.
    pub filled_out: bool,
    /// Changes that the hub has not confirmed, by type.
    pub waiting: BTreeMap<String, u64>,
    /// Triggers that are missing or changed.
    pub broken_triggers: Vec<String>,
    /// Objects that cannot be stored, or were not taken by the hub.
    pub aside: Vec<Aside>,
    /// Own edits that lost.
    pub conflicts: Vec<Conflict>,
}

/// What attaching would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Whether the database has the tables of Syncline already.
    pub attached: bool,
    /// The tables of the mapping.
    pub types: Vec<PreviewType>,
}

/// What would be exchanged of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewType {
    /// The type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its table.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The fields of its objects.
    pub fields: Vec<String>,
}

impl Attachment {
    /// Opens a database and holds the mapping against it. Writes nothing.
    ///
    /// # Errors
    /// [`AttachError::NoDatabase`], [`AttachError::Mapping`], or what the database says.
    pub fn open(
        place: &(impl AsRef<OsStr> + ?Sized),
        mapping: Mapping,
        options: Options,
    ) -> Result<Attachment, AttachError> {
        let db = open(place.as_ref(), options.busy_timeout_ms)?;
        let plan = plan_of(&db, &mapping)?;
        Ok(Attachment { db, mapping, plan, options, remarks: Vec::new(), drawn: None })
    }

    /// What attaching would do.
    ///
    /// # Errors
    /// What the database says.
    pub fn preview(&self) -> Result<Preview, AttachError> {
        let of = |plan: &TypePlan| {
            let fields = plan.columns.iter().map(|column| column.field.clone());
            let fields = fields.chain(plan.lines.iter().map(|lines| format!("{}[]", lines.field))).collect();
            let (kind, table) = (plan.kind.clone(), plan.table.clone());
            Ok(PreviewType { kind, rows: self.db.count(&table)?, table, fields })
        };
        let types = self.plan.types.iter().map(of).collect::<Result<_, AttachError>>()?;
        Ok(Preview { attached: self.db.is_attached()?, types })
    }

    /// Makes tables and triggers where they are missing, and looks whether those that are there still fit.
    ///
    /// # Errors
    /// [`AttachError::Triggers`] when somebody took triggers away and `mend` is not set, [`AttachError::Node`] for an id
    /// that is none or another one.
    pub fn prepare(&mut self) -> Result<(), AttachError> {
        if let Some(node) = self.options.node.as_deref().filter(|node| !is_uuid(node)) {
            return Err(AttachError::Node(format!(
                "`{node}` is no UUID; a node's id reads like {}",
                uuid::Uuid::new_v4()
            )));
        }
        let missing = self.db.catalogue()?.missing(&self.mapping);
        if !self.db.is_attached()? {
            let node = self.options.node.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            self.db.install(&self.plan, (&node, &self.mapping.hub_id), &missing)?;
        } else if !missing.is_empty() {
            self.db.add_columns(&missing)?;
        }
        self.check_ends()?;
        self.plan = plan_of(&self.db, &self.mapping)?;
        let guard = self.db.guard(&self.plan)?;
        if !guard.broken.is_empty() && !self.options.mend {
            return Err(AttachError::Triggers(guard.broken.into_iter().map(|trigger| trigger.name).collect()));
        }
        if !(guard.broken.is_empty() && guard.new.is_empty() && guard.left_over.is_empty()) {
            self.db.mend(&guard)?;
        }
        if self.options.mend {
            self.db.write(&self.plan, |work| {
                work.fill_again()?;
                self.plan.types.iter().try_for_each(|plan| work.register_missing(plan))
            })?;
            self.options.mend = false;
        }
        self.see_columns()
    }

    fn check_ends(&self) -> Result<(), AttachError> {
        let standing = self.standing()?;
        let wished = self.options.node.as_ref().filter(|node| !node.eq_ignore_ascii_case(&standing.node));
        if let Some(node) = wished {
            // Until a hub has answered, the id may be one that was drawn for want of a better.
            if standing.filled_in || standing.received > 0 {
                return Err(AttachError::Node(format!(
                    "this database is node {}, not {node}; a copy of a database becomes a node of its own by `syncline \
                     attach remove` and a first `once` with its id",
                    standing.node
                )));
            }
            self.db.write(&self.plan, |work| work.name_node(node))?;
        }
        if standing.hub.eq_ignore_ascii_case(&self.mapping.hub_id) {
            return Ok(());
        }
        let (hub, other) = (&standing.hub, &self.mapping.hub_id);
        Err(AttachError::Node(format!(
            "this database exchanges packets with hub {hub}, and `hub_id` of the mapping is {other}; `syncline attach \
             remove` ends the exchange with a hub"
        )))
    }

    /// Columns that came are filled with what the hub has said of them; columns that went are remarked upon.
    fn see_columns(&mut self) -> Result<(), AttachError> {
        let seen = self.db.read(&self.plan, |work| work.columns_seen())?;
        let fields = |plan: &TypePlan| plan.columns.iter().map(|column| column.field.clone()).collect::<BTreeSet<_>>();
        if self.plan.types.iter().all(|plan| seen.get(&plan.kind) == Some(&fields(plan))) {
            return Ok(());
        }
        let (mut remarks, now) = (Vec::new(), now());
        self.db.write(&self.plan, |work| {
            for plan in &self.plan.types {
                let fields = fields(plan);
                let before = seen.get(&plan.kind).unwrap_or(&fields);
                for field in before.difference(&fields) {
                    remarks
                        .push(format!("`{}` has no column for `{field}` any more; others keep the field", plan.table));
                }
                for field in fields.difference(before) {
                    work.spread(plan, field, &now)?;
                    remarks.push(format!("`{}` has a new column; it is exchanged as `{field}`", plan.table));
                }
                work.see_columns(&plan.kind, &fields)?;
            }
            Ok(())
        })?;
        self.remarks.extend(remarks);
        Ok(())
    }

    /// What was noticed since it was last asked.
    pub fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    pub(crate) fn standing(&self) -> Result<Standing, AttachError> {
        self.db.read(&self.plan, |work| work.standing())
    }

    pub(crate) fn database(&self) -> &Database {
        &self.db
    }

    pub(crate) fn packet_rows(&mut self) -> &mut usize {
        &mut self.options.packet_rows
    }

    fn ends(&self, standing: &Standing) -> Ends {
        let (node, hub) = (standing.node.clone(), standing.hub.clone());
        Ends { node, hub, schema_version: self.mapping.schema_version.clone() }
    }

    /// The next packet: the one under way, or else one of what waits, or else an empty one that asks.
    ///
    /// While the hub's objects arrive for the first time, nothing is sent: a row may turn out to be one of them.
    ///
    /// # Errors
    /// What the database says.
    pub fn compose(&mut self) -> Result<Outgoing, AttachError> {
        if let Some(asking) = self.asking()? {
            return Ok(asking);
        }
        let rows = self.options.packet_rows.max(1);
        self.db.write(&self.plan, |work| {
            let standing = work.standing()?;
            if let Some((number, text)) = work.under_way()? {
                let entities = packet::entities_of(&text)?.len() as u64;
                return Ok(Outgoing { number, ack: standing.received, text, entities, kept_back: 0 });
            }
            let (mut kept_back, mut steps) = (0, 0);
            while standing.filled_in && steps < STEPS_MAX {
                steps += 1;
                self.fill_out(work)?;
                let composed = outgoing::compose(work, rows, &now())?;
                kept_back += composed.kept_back;
                if composed.empty {
                    break;
                }
                if composed.entities.is_empty() {
                    work.drop_changes(composed.upto)?;
                    continue;
                }
                let number = work.draw()?;
                let entities = composed.entities.len() as u64;
                let text = packet::write(&self.ends(&standing), (number, standing.received), composed.entities);
                work.send_changes(composed.upto, number)?;
                work.keep_packet(number, &text, composed.upto)?;
                return Ok(Outgoing { number, ack: standing.received, text, entities, kept_back });
            }
            let (number, ack) = (work.draw()?, standing.received);
            let text = packet::write(&self.ends(&standing), (number, ack), Vec::new());
            Ok(Outgoing { number, ack, text, entities: 0, kept_back })
        })
    }

    /// An empty packet under the number that was drawn with the last answer: nothing is written for it.
    fn asking(&self) -> Result<Option<Outgoing>, AttachError> {
        let Some(number) = self.drawn else { return Ok(None) };
        self.db.read(&self.plan, |work| {
            let standing = work.standing()?;
            let has_news = standing.filled_in && (work.is_waiting()? || work.is_filling_any()?);
            if standing.issued != number || has_news || work.under_way()?.is_some() {
                return Ok(None);
            }
            let text = packet::write(&self.ends(&standing), (number, standing.received), Vec::new());
            Ok(Some(Outgoing { number, ack: standing.received, text, entities: 0, kept_back: 0 }))
        })
    }

    /// Registers the next rows that were there before, when nothing else waits.
    fn fill_out(&self, work: &Work<'_>) -> Result<(), AttachError> {
        if work.is_waiting()? {
            return Ok(());
        }
        while let Some((kind, after)) = work.fill()? {
            let Some(plan) = self.plan.named(&kind) else {
                work.fill_stands(&kind, &after, true)?;
                continue;
            };
            let (last, count) = work.register_rows(plan, &after, FILL_ROWS)?;
            work.fill_stands(&kind, last.as_ref().unwrap_or(&after), last.is_none())?;
            if count > 0 {
                return Ok(());
            }
        }
        work.filled_out()
    }

    /// Takes the hub's answer to a packet in.
    ///
    /// # Errors
    /// [`AttachError::Packet`] where it is no answer to it, [`AttachError::Overtaken`] where somebody else has taken one
    /// in since; nothing was changed then.
    pub fn take(&mut self, sent: &Outgoing, answer: &[u8]) -> Result<Taken, AttachError> {
        let answer = packet::read(answer, &self.ends(&self.standing()?))?;
        if answer.accepted < sent.number {
            let (number, accepted) = (sent.number, answer.accepted);
            return Err(AttachError::Packet(format!(
                "the answer to packet {number} confirms {accepted} only: it is the answer to another one"
            )));
        }
        let mut manner = Manner::default();
        loop {
            match self.take_once(sent, &answer, &manner) {
                Err(AttachError::Undone { .. }) if !manner.single => manner.single = true,
                Err(AttachError::Undone { kind, uuid, why }) if manner.barred.len() < BARRED_MAX => {
                    manner.barred.insert(&kind, uuid, why);
                }
                Err(AttachError::Dangling(_)) if !manner.careful => manner.careful = true,
                done => return done,
            }
        }
    }

    fn take_once(&mut self, sent: &Outgoing, answer: &packet::Answer, manner: &Manner) -> Result<Taken, AttachError> {
        let (taken, drawn) = self.db.write(&self.plan, |work| {
            let standing = work.standing()?;
            let under_way = work.under_way()?.map(|(number, _)| number);
            let overtaken = match under_way {
                Some(number) => number != sent.number,
                None => sent.entities > 0 || standing.issued != sent.number,
            };
            if overtaken || standing.received != sent.ack {
                return Err(AttachError::Overtaken);
            }
            let taken = incoming::take(work, answer, manner, &now())?;
            if !taken.more && !standing.filled_in {
                work.filled_in()?;
            }
            Ok((taken, work.draw()?))
        })?;
        self.drawn = Some(drawn);
        Ok(taken)
    }

    /// Gives the packet under way up, so that a smaller one takes its place.
    pub(crate) fn give_up(&mut self) -> Result<(), AttachError> {
        self.db.write(&self.plan, |work| {
            work.release_changes()?;
            work.forget_packet()
        })
    }

    /// Whether changes wait that no packet holds.
    pub(crate) fn has_news(&self) -> Result<bool, AttachError> {
        self.db.read(&self.plan, |work| Ok(work.is_waiting()? || work.fill()?.is_some()))
    }

    /// Where it stands.
    ///
    /// # Errors
    /// [`AttachError::NotAttached`], or what the database says.
    pub fn status(&self) -> Result<Status, AttachError> {
        if !self.db.is_attached()? {
            return Err(AttachError::NotAttached(self.db.place()));
        }
        let guard = self.db.guard(&self.plan)?;
        self.db.read(&self.plan, |work| {
            let standing = work.standing()?;
            Ok(Status {
                node: standing.node,
                hub: standing.hub,
                received_packet_no: standing.received,
                sent_packet_no: standing.confirmed,
                last_sync_in: standing.last_in,
                last_sync_out: standing.last_out,
                filled_in: standing.filled_in,
                filled_out: work.fill()?.is_none(),
                waiting: work.backlog()?,
                broken_triggers: guard.broken.iter().map(|trigger| trigger.name.clone()).collect(),
                aside: work.asides()?,
                conflicts: work.conflicts()?,
            })
        })
    }
}

/// Takes everything of Syncline out of a database; the application's rows stay as they are. Needs no mapping.
///
/// # Errors
/// [`AttachError::Unsent`] where changes have not reached the hub and `force` is not set.
pub fn remove(place: &(impl AsRef<OsStr> + ?Sized), busy_timeout_ms: u64, force: bool) -> Result<(), AttachError> {
    let db = open(place.as_ref(), busy_timeout_ms)?;
    if !db.is_attached()? {
        return Err(AttachError::NotAttached(db.place()));
    }
    let plan = Plan { types: Vec::new() };
    let unsent: u64 = db.read(&plan, |work| Ok(work.backlog()?.values().sum()))?;
    if unsent > 0 && !force {
        return Err(AttachError::Unsent(unsent));
    }
    db.uninstall()
}

/// The catalogue of a database.
///
/// # Errors
/// What the database says.
pub(crate) fn look(place: &OsStr) -> Result<(Database, Catalogue), AttachError> {
    let db = open(place, Options::default().busy_timeout_ms)?;
    let catalogue = db.catalogue()?;
    Ok((db, catalogue))
}

/// Whether a place is the address of a PostgreSQL database; else it is a file.
#[must_use]
pub fn is_address(place: &OsStr) -> bool {
    place.to_str().is_some_and(|place| place.starts_with("postgres://") || place.starts_with("postgresql://"))
}

/// A place as messages name it: an address without its password.
#[must_use]
pub fn shown(place: &OsStr) -> String {
    let shown = place.to_string_lossy();
    match is_address(place) {
        true => syncline_postgres::Url::parse(&shown).map_or_else(|error| error.place, |url| url.to_string()),
        false => shown.into_owned(),
    }
}

fn open(place: &OsStr, busy_timeout_ms: u64) -> Result<Database, AttachError> {
    Ok(Database::new(match place.to_str().filter(|_| is_address(place)) {
        Some(url) => Box::new(Postgres::open(url, busy_timeout_ms)?),
        None => Box::new(Sqlite::open(Path::new(place), busy_timeout_ms)?),
    }))
}

fn plan_of(db: &Database, mapping: &Mapping) -> Result<Plan, AttachError> {
    let mut catalogue = db.catalogue()?;
    catalogue.complete(mapping);
    Plan::new(mapping, &catalogue, &|table, column| db.sample(table, column))
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).iso()
}
