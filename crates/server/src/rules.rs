//! Rules of collections, for a person: what is set, how it is changed, and which documents break it that were there
//! before. Decides nothing: what a rule means is said by the core; the same for the admin API and for a command on the
//! data directory.

use crate::app::App;
use crate::error::ServerError;
use crate::hub::Hub;
use crate::options::DeclaredRule;
use crate::schema;
use crate::store::{CollectionRule, Encoder, Head, RecordKind, Row, Scan, Scanned, Store};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::{DocKey, Touch, WriteSet, breaches, shared};
use syncline_core::model::{Body, CollectionName, Demands, DocId, Lsn, Millis, SpaceName, UniqueValue};
use tokio::sync::mpsc;

/// Documents that one page of a check holds in memory, and about how many bytes.
const PAGE_ROWS: usize = 500;
const PAGE_BYTES: usize = 4 << 20;
/// Lines between a check and whoever reads it: a reader that takes none holds the check up, nothing else.
const LINES_AHEAD: usize = 100;

/// The rules of a collection, and who gives them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// The collection.
    pub collection: CollectionName,
    /// Its rules.
    #[serde(flatten)]
    pub rule: CollectionRule,
    /// Whether the configuration of the hub gives them: then they are changed there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub declared: bool,
}

/// A rule that a document breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which document.
    pub id: String,
    /// A short, stable word.
    pub code: String,
    /// A sentence that names the rule, the place and what to do.
    pub reason: String,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Documents that were looked at.
    pub documents: u64,
    /// Those of them that break a rule.
    pub violating: u64,
    /// Those of them that the next round of the retention removes, because nobody has changed them for so long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overdue: u64,
    /// Whether that is all.
    pub end: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // so it is called
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CheckLine {
    /// A rule that a document breaks.
    Violation(Violation),
    /// How far the check has come; the last line of all.
    Checked(Checked),
}

/// Violations that an answer names; the others are counted.
const NAMED_MAX: usize = 20;

/// What it led to that rules were set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetSummary {
    /// The rules.
    #[serde(flatten)]
    pub view: RuleView,
    /// How many documents were there, and how many of them break a rule. They stay as they are.
    pub checked: Checked,
    /// The first rules that documents break.
    pub violations: Vec<Violation>,
    /// What may not be meant so, in words: a rule that no document keeps, keywords of the schema that demand nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Reads a check to its end.
///
/// # Errors
/// Those of the check.
pub async fn summary(
    view: RuleView,
    mut lines: mpsc::Receiver<Result<CheckLine, ServerError>>,
) -> Result<SetSummary, ServerError> {
    let mut summary = SetSummary::of(view);
    while let Some(line) = lines.recv().await {
        summary.take(line?);
    }
    Ok(summary.ended())
}

impl SetSummary {
    /// A rule that was just set.
    #[must_use]
    pub fn of(view: RuleView) -> SetSummary {
        SetSummary { view, checked: Checked::default(), violations: Vec::new(), warnings: Vec::new() }
    }

    /// One more line of the check.
    pub fn take(&mut self, line: CheckLine) {
        match line {
            CheckLine::Violation(violation) if self.violations.len() < NAMED_MAX => self.violations.push(violation),
            CheckLine::Violation(_) => {}
            CheckLine::Checked(checked) => self.checked = checked,
        }
    }

    /// After the last line: looks whether any document keeps the rules.
    #[must_use]
    pub fn ended(mut self) -> SetSummary {
        let Checked { documents, violating, .. } = self.checked;
        let hopeless = schema::hopeless(&self.view.rule).map(|why| format!("no document can keep the rule: {why}"));
        let none = || format!("none of the {documents} documents keeps the rule; look whether it says what you mean");
        self.warnings.extend(hopeless.or_else(|| (documents > 1 && violating == documents).then(none)));
        self.warnings.extend(self.view.rule.schema.as_ref().map(schema::oddities).unwrap_or_default());
        self
    }
}

/// The rules of the collections of a space that have some, by their names.
///
/// # Errors
/// No such space; those of the store.
pub async fn list(
    store: &dyn Store,
    declared: &[DeclaredRule],
    space: &SpaceName,
) -> Result<Vec<RuleView>, ServerError> {
    store.head(space).await?;
    let prefix = format!("{space}/");
    let records = store.records(RecordKind::Collection).await?.into_iter();
    let view = |record: crate::store::Record| {
        let collection = CollectionName::new(record.key.strip_prefix(&prefix)?).ok()?;
        let rule = serde_json::from_str(&record.value).unwrap_or_default();
        let declared = is_declared(declared, space, &collection);
        Some(RuleView { collection, rule, declared })
    };
    Ok(records.filter_map(view).collect())
}

/// Sets the rules of a collection, in the place of those that it had, for everything that comes from now on. Makes the
/// space when it is missing, so that a rule can stand before the first document.
///
/// # Errors
/// A rule that cannot be used; the configuration gives this collection's rules; those of the store.
pub async fn set(app: &App, space: &SpaceName, view: &RuleView) -> Result<(), ServerError> {
    if is_declared(&app.options.collections, space, &view.collection) {
        let reason = format!(
            "the rules of `{}` in space `{space}` are given by the configuration of the hub (`[[collections]]`); change \
             them there and start the hub anew",
            view.collection
        );
        return Err(ServerError::Taken { code: "declared_rule", reason });
    }
    schema::demands(view.rule.clone())
        .map_err(|why| ServerError::bad("unusable_rule", format!("the rule of `{}`: {why}", view.collection)))?;
    app.hub.create_space(space).await?;
    put(&app.hub, space, &view.collection, &view.rule).await
}

/// Takes over the rules that the configuration gives a collection. What is there already and breaks them is told in the
/// log, where they are new.
///
/// # Errors
/// A rule that cannot be used; those of the store.
pub(crate) async fn declare(hub: &Arc<Hub>, declared: &DeclaredRule) -> Result<(), ServerError> {
    let DeclaredRule { space, collection, rule } = declared;
    schema::demands(rule.clone())
        .map_err(|why| ServerError::Config(format!("the rule of collection `{collection}`: {why}")))?;
    hub.create_space(space).await?;
    let before = rule_of(hub.store().as_ref(), space, collection).await?;
    put(hub, space, collection, rule).await?;
    for oddity in rule.schema.as_ref().map(schema::oddities).unwrap_or_default() {
        tracing::warn!(%space, %collection, oddity, "a schema may not say what it is meant to");
    }
    if before.as_ref() != Some(rule) && rule.can_refuse() {
        tokio::spawn(tell(check(hub, space, collection).await?, space.clone(), collection.clone()));
    }
    Ok(())
}

async fn put(
    hub: &Hub,
    space: &SpaceName,
    collection: &CollectionName,
    rule: &CollectionRule,
) -> Result<(), ServerError> {
    let value = (!rule.is_empty()).then(|| serde_json::to_string(rule).expect("a rule serializes"));
    hub.store().put_record(RecordKind::Collection, CollectionRule::key(space, collection), value).await?;
    build(hub, space, collection).await
}

/// An empty commit: what unique fields need is built now, and not by the next push.
async fn build(hub: &Hub, space: &SpaceName, collection: &CollectionName) -> Result<(), ServerError> {
    let touch = Touch { collections: [collection.clone()].into(), ..Touch::default() };
    hub.store().commit(space, touch, Box::new(|_| WriteSet::default())).await?;
    Ok(())
}

async fn rule_of(
    store: &dyn Store,
    space: &SpaceName,
    collection: &CollectionName,
) -> Result<Option<CollectionRule>, ServerError> {
    let key = CollectionRule::key(space, collection);
    let record = store.records(RecordKind::Collection).await?.into_iter().find(|record| record.key == key);
    Ok(record.and_then(|record| serde_json::from_str(&record.value).ok()))
}

fn is_declared(declared: &[DeclaredRule], space: &SpaceName, collection: &CollectionName) -> bool {
    declared.iter().any(|rule| rule.space == *space && rule.collection == *collection)
}

/// Holds the documents of a collection against its rules, a page at a time, and tells which break one. Changes that come
/// meanwhile are looked at as well; it ends when nobody listens any more.
///
/// # Errors
/// No such space; those of the store.
pub async fn check(
    hub: &Arc<Hub>,
    space: &SpaceName,
    collection: &CollectionName,
) -> Result<mpsc::Receiver<Result<CheckLine, ServerError>>, ServerError> {
    let rule = rule_of(hub.store().as_ref(), space, collection).await?.unwrap_or_default();
    let demands =
        schema::demands(rule).map_err(|why| ServerError::Config(format!("the rule of `{collection}`: {why}")))?;
    hub.store().head(space).await?;
    if !demands.rule.unique.is_empty() {
        // Whoever set the rule may have died before its index was built.
        hub.create_space(space).await?;
        build(hub, space, collection).await?;
    }
    let (out, lines) = mpsc::channel(LINES_AHEAD);
    let now = hub.settings().clock.now();
    let checking =
        Checking { hub: Arc::clone(hub), space: space.clone(), collection: collection.clone(), demands, now };
    tokio::spawn(async move {
        if let Err(error) = checking.run(&out).await {
            drop(out.send(Err(error)).await);
        }
    });
    Ok(lines)
}

struct Checking {
    hub: Arc<Hub>,
    space: SpaceName,
    collection: CollectionName,
    demands: Demands,
    /// When it began.
    now: Millis,
}

/// A document of the page that is looked at.
struct Found {
    id: DocId,
    body: Body,
    /// When it was changed last.
    at: Millis,
}

/// Nobody reads the lines any more.
struct Unheard;

impl Checking {
    async fn run(&self, out: &mpsc::Sender<Result<CheckLine, ServerError>>) -> Result<(), ServerError> {
        let (mut checked, mut after) = (Checked::default(), Lsn::ZERO);
        loop {
            let (page, scanned) = self.page(after).await?;
            let found = self.violations(&page).await?;
            checked.documents += page.len() as u64;
            checked.overdue += page.iter().filter(|found| self.is_overdue(found)).count() as u64;
            let told = tell_page(out, &page, found, &mut checked).await;
            checked.end = !scanned.more;
            let line = Ok(CheckLine::Checked(checked));
            if told.is_err() || out.send(line).await.is_err() || checked.end {
                return Ok(());
            }
            after = scanned.upto;
        }
    }

    fn is_overdue(&self, found: &Found) -> bool {
        self.demands.rule.retention_ms.is_some_and(|keep_ms| found.at.0 < self.now.0.saturating_sub(keep_ms))
    }

    async fn page(&self, after: Lsn) -> Result<(Vec<Found>, Scanned), ServerError> {
        let page = Arc::new(Mutex::new(Vec::new()));
        let scan = Scan::Snapshot {
            collections: Some([self.collection.clone()].into()),
            after,
            expired_by: Some(self.now),
            max_rows: PAGE_ROWS,
            max_bytes: PAGE_BYTES,
        };
        // Nothing is written for the reader: the encoder keeps the rows.
        let (out, _unread) = mpsc::channel(1);
        let encoder = Box::new(Page(Arc::clone(&page)));
        let scanned = self.hub.store().scan(&self.space, scan, encoder, out).await?;
        let rows = std::mem::take(&mut *page.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((rows, scanned))
    }

    async fn violations(&self, page: &[Found]) -> Result<BTreeMap<DocId, Vec<Violation>>, ServerError> {
        let mut found = BTreeMap::<DocId, Vec<Violation>>::new();
        let mut values = BTreeMap::<UniqueValue, Vec<&Found>>::new();
        for one in page {
            let key: DocKey = (self.collection.clone(), one.id.clone());
            let broken = breaches(&self.demands, &key, &one.body);
            if !broken.is_empty() {
                found.entry(one.id.clone()).or_default().extend(broken.into_iter().map(|why| violation(&one.id, why)));
            }
            for (unique, value) in self.demands.values(&one.body) {
                let value = UniqueValue { collection: key.0.clone(), key: unique, value };
                values.entry(value).or_default().push(one);
            }
        }
        let asked: Vec<UniqueValue> = values.keys().cloned().collect();
        if asked.is_empty() {
            return Ok(found);
        }
        for (value, holders) in self.hub.store().holders(&self.space, asked, 1, self.now).await? {
            let Some(first) = holders.first() else { continue };
            for one in values.get(&value).into_iter().flatten().filter(|one| one.id != *first) {
                let why = shared(&value.at(&one.id), (&value.key, &one.body.fields()), first);
                found.entry(one.id.clone()).or_default().push(violation(&one.id, why));
            }
        }
        Ok(found)
    }
}

async fn tell_page(
    out: &mpsc::Sender<Result<CheckLine, ServerError>>,
    page: &[Found],
    mut found: BTreeMap<DocId, Vec<Violation>>,
    checked: &mut Checked,
) -> Result<(), Unheard> {
    for one in page {
        let Some(violations) = found.remove(&one.id) else { continue };
        checked.violating += 1;
        for violation in violations {
            out.send(Ok(CheckLine::Violation(violation))).await.map_err(|_| Unheard)?;
        }
    }
    Ok(())
}

fn violation(id: &DocId, why: syncline_core::model::Rejection) -> Violation {
    Violation { id: id.to_string(), code: why.code, reason: why.reason }
}

/// Keeps a page of documents.
struct Page(Arc<Mutex<Vec<Found>>>);

impl Encoder for Page {
    fn takes_apart(&self) -> bool {
        true
    }

    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let Ok(id) = DocId::new(row.id) else { return false };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Found {
            id,
            body: Body::trusted(row.body),
            at: row.at,
        });
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

/// Tells the log what a check finds, in one line.
async fn tell(mut lines: mpsc::Receiver<Result<CheckLine, ServerError>>, space: SpaceName, collection: CollectionName) {
    let mut first = None;
    while let Some(line) = lines.recv().await {
        match line {
            Ok(CheckLine::Violation(violation)) => drop(first.get_or_insert(violation)),
            Ok(CheckLine::Checked(Checked { end: true, violating, documents, .. })) if violating > 0 => {
                let first = first.as_ref().map_or("", |violation| violation.reason.as_str());
                let next = format!("`syncline rules check {collection}` names them all");
                tracing::warn!(%space, %collection, violating, documents, first, next, "documents break the rules of their collection");
            }
            Ok(CheckLine::Checked(_)) => {}
            Err(error) => tracing::warn!(%space, %collection, %error, "the rules of a collection were not checked"),
        }
    }
}
