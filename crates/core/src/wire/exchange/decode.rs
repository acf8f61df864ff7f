//! From a packet's text to its head and its entities. What is wrong is named by its place; which entities are
//! taken is decided elsewhere.

use super::{Header, Operation};
use crate::model::{
    Body, CollectionName, DocId, Entity, EntityEdit, Fields, Limits, Malformed, Millis, NodeId, Rejection,
};
use crate::wire::digest::{Fnv64, fnv128};
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::{Borrow, Cow};
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::ops::Range;

/// The code of an entity whose type is not among those that are exchanged.
pub const UNKNOWN_TYPE: &str = "unknown_type";

/// Numbers above lose digits on their way through other languages.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A node's: its numbers begin with 1.
    Node,
    /// The hub's: 0 says that it has sent nothing yet.
    Hub,
}

/// A packet that is JSON and whose head is in order. Its body has not been looked at.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The head.
    pub header: Header,
    /// Where in the text the body is.
    body: Option<Range<usize>>,
}

/// The elements of a packet's body as text.
#[derive(Clone, Debug)]
pub struct Elements<'a>(Vec<&'a RawValue>);

/// What programs on Windows put before a text of UTF-8. It says nothing and belongs to no value.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the text and the head of a packet.
///
/// # Errors
/// [`Malformed::Json`] when the text is not JSON, [`Malformed::Element`] naming what is missing or wrong.
pub fn open(text: &[u8], from: Side) -> Result<Opened, Malformed> {
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(borrow, default)]
        header: Option<&'a RawValue>,
        #[serde(borrow, default)]
        body: Option<&'a RawValue>,
    }
    let start = text.as_ptr().addr();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let is_object = text.trim_ascii_start().starts_with(b"{");
    let top: Top<'_> = match serde_json::from_slice(text) {
        Ok(top) if is_object => top,
        // Once more, for what exactly is wrong.
        _ => {
            let whole: &RawValue =
                serde_json::from_slice(text).map_err(|e| Malformed::json("the packet is not JSON", e))?;
            object("packet", Some(whole.get()))?
        }
    };
    let place = |raw: &RawValue| {
        let at = raw.get().as_ptr().addr() - start;
        at..at + raw.get().len()
    };
    Ok(Opened { header: header(top.header, from)?, body: top.body.map(place) })
}

fn header(raw: Option<&RawValue>, from: Side) -> Result<Header, Malformed> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(borrow, default)]
        sender_node_id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        recipient_node_id: Option<&'a RawValue>,
        #[serde(borrow, default)]
        packet_no: Option<&'a RawValue>,
        #[serde(borrow, default)]
        ack_packet_no: Option<&'a RawValue>,
        #[serde(borrow, default)]
        schema_version: Option<&'a RawValue>,
        #[serde(borrow, default)]
        has_more: Option<&'a RawValue>,
        #[serde(borrow, default)]
        rejected: Option<&'a RawValue>,
        #[serde(borrow, default)]
        whole_objects: Option<&'a RawValue>,
    }
    let parts: Parts<'_> = object("header", raw.map(RawValue::get))?;
    let lowest = match from {
        Side::Node => 1,
        Side::Hub => 0,
    };
    let schema_version: String = value("header.schema_version", parts.schema_version, VERSION)?;
    if major_version(&schema_version).is_none() {
        return Err(Malformed::element("header.schema_version", VERSION));
    }
    Ok(Header {
        sender_node_id: uuid("header.sender_node_id", parts.sender_node_id)?,
        recipient_node_id: uuid("header.recipient_node_id", parts.recipient_node_id)?,
        packet_no: number("header.packet_no", parts.packet_no, lowest)?,
        ack_packet_no: number("header.ack_packet_no", parts.ack_packet_no, 0)?,
        schema_version,
        has_more: extension("header.has_more", parts.has_more, "must be true or false")?,
        rejected: extension("header.rejected", parts.rejected, "must list entities with `type`, `uuid` and why")?,
        whole_objects: extension("header.whole_objects", parts.whole_objects, "must be true or false")?,
    })
}

impl Opened {
    /// Reads the body of `text`, which is the one that was opened.
    ///
    /// # Errors
    /// [`Malformed::Element`] when there is no list of entities.
    pub fn elements<'a>(&self, text: &'a [u8]) -> Result<Elements<'a>, Malformed> {
        #[derive(Deserialize)]
        struct Parts<'a> {
            #[serde(borrow)]
            entities: Vec<&'a RawValue>,
        }
        let body = self.body.clone().and_then(|place| str::from_utf8(text.get(place)?).ok());
        if let Ok(Parts { entities }) = object("body", body) {
            return Ok(Elements(entities));
        }
        let _: IgnoredAny = object("body", body)?;
        Err(Malformed::element("body.entities", "must be a list"))
    }
}

impl Elements<'_> {
    /// How many there are, whatever they are like.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Reads them. `accept` tells the collection of a type, or why entities of that type are set aside.
    ///
    /// # Errors
    /// [`Malformed::Element`] for the first entity that has not the form of one.
    pub fn entities(
        &self,
        limits: &Limits,
        accept: impl Fn(&str) -> Result<CollectionName, Rejection>,
    ) -> Result<Vec<Entity>, Malformed> {
        let reader = Reader { limits, accept: &accept };
        let entity = |(n, raw): (usize, &&RawValue)| reader.entity(format_args!("body.entities[{n}]"), raw);
        self.0.iter().enumerate().map(entity).collect()
    }
}

/// The place of a part of an entity: spelled only when something is wrong there.
struct Inside<'a> {
    at: fmt::Arguments<'a>,
    name: &'static str,
}

impl Display for Inside<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.at, self.name)
    }
}

struct Reader<'a> {
    limits: &'a Limits,
    accept: &'a dyn Fn(&str) -> Result<CollectionName, Rejection>,
}

/// The parts of an entity as text.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    unset: Option<&'a RawValue>,
}

/// What an entity puts.
struct Sent<'a> {
    raw: &'a str,
    given: Given<'a>,
    unset: BTreeSet<String>,
}

/// Fields as they stand in the packet.
type Given<'a> = IndexMap<Name<'a>, &'a RawValue>;

/// A field's name, borrowed unless it is spelled with escapes.
#[derive(PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Reader<'_> {
    fn entity(&self, at: fmt::Arguments<'_>, raw: &RawValue) -> Result<Entity, Malformed> {
        let parts: Parts<'_> = object(at, Some(raw.get()))?;
        let inside = |name: &'static str| Inside { at, name };
        let kind: String = value(inside("type"), parts.kind, "must be the name of a type")?;
        if kind.is_empty() {
            return Err(Malformed::element(inside("type").to_string(), "must be the name of a type"));
        }
        let uuid = uuid(inside("uuid"), parts.uuid)?;
        let rule = "must be INSERT, UPDATE or DELETE";
        let operation: Operation = value(inside("operation"), parts.operation, rule)?;
        let data = data(inside("data"), operation, parts.data)?;
        let unset = extension(inside("unset"), parts.unset, "must be a list of names of fields")?;
        let digest = digest(&parts);
        let stated = data.as_ref().and_then(|data| time(data.get("updated_at").copied()));
        let edit = match (self.accept)(&kind) {
            Ok(collection) => {
                let sent = data.zip(parts.data).map(|(given, raw)| Sent { raw: raw.get(), given, unset });
                self.edit(collection, &uuid, operation, sent)
            }
            Err(why) => EntityEdit::Unusable(why),
        };
        Ok(Entity {
            kind,
            uuid: DocId::new(uuid)?,
            edit,
            time: stated.or_else(|| time(parts.updated_at)),
            digest,
            raw: raw.get().to_owned(),
        })
    }

    fn edit(&self, collection: CollectionName, uuid: &str, operation: Operation, sent: Option<Sent<'_>>) -> EntityEdit {
        let Some(Sent { raw, mut given, mut unset }) = sent else { return EntityEdit::Remove { collection } };
        let same = |id: &RawValue| serde_json::from_str::<String>(id.get()).is_ok_and(|id| id == uuid);
        if given.shift_remove("_id").is_some_and(|id| !same(id)) {
            return EntityEdit::Unusable(reserved_field(uuid));
        }
        if let Err(why) = self.check_size(uuid, raw, &given) {
            return EntityEdit::Unusable(Rejection { code: why.code().to_owned(), reason: why.to_string() });
        }
        unset.retain(|name| name != "_id" && !given.contains_key(name.as_str()));
        let sent = Body::of_fields(uuid, given.iter().map(|(name, value)| (&*name.0, *value)));
        EntityEdit::Put { collection, insert: operation == Operation::Insert, sent, unset }
    }

    /// The text that was sent is never shorter than what is kept of it.
    fn check_size(&self, uuid: &str, raw: &str, given: &Given<'_>) -> Result<(), Malformed> {
        Body::check(raw, uuid, self.limits).or_else(|_| {
            let kept: Fields = given.iter().map(|(name, value)| (&*name.0, (*value).to_owned())).collect();
            Body::check(kept.to_body().text(), uuid, self.limits)
        })
    }
}

/// `None` for DELETE.
fn data<'a>(at: impl Display, operation: Operation, raw: Option<&'a RawValue>) -> Result<Option<Given<'a>>, Malformed> {
    match (operation, raw) {
        (Operation::Delete, None) => Ok(None),
        (Operation::Delete, Some(_)) => Err(Malformed::element(at.to_string(), "must be null for DELETE")),
        (Operation::Insert | Operation::Update, raw) => object(at, raw.map(RawValue::get)).map(Some),
    }
}

/// Tells an entity from any other, whatever its layout: a file that went through an editor holds the same.
/// Parts are kept apart by a byte that no JSON holds.
fn digest(parts: &Parts<'_>) -> u64 {
    let parts = [parts.kind, parts.uuid, parts.operation, parts.data, parts.updated_at, parts.unset];
    let texts = parts.into_iter().map(|part| part.map_or("", RawValue::get));
    texts.fold(Fnv64::default(), |hash, text| with_compact(hash, text).with(0)).0
}

/// Takes in JSON without the white space between its tokens. No byte decides where the loop goes on: to guess that
/// wrongly costs more than the sums.
fn with_compact(mut hash: Fnv64, json: &str) -> Fnv64 {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        let counts = in_string | !byte.is_ascii_whitespace();
        hash = if counts { hash.with(byte) } else { hash };
        in_string ^= (byte == b'"') & !escaped;
        escaped = in_string & !escaped & (byte == b'\\');
    }
    hash
}

/// The name of a packet: the same for every repeat of it, whatever it acknowledges.
#[must_use]
pub fn packet_key(node: &NodeId, number: u64, entities: &[Entity]) -> [u8; 16] {
    let body: Vec<u8> = entities.iter().flat_map(|entity| entity.digest.to_be_bytes()).collect();
    fnv128(&[b"packet", node.as_str().as_bytes(), &number.to_be_bytes(), &body])
}

fn time(raw: Option<&RawValue>) -> Option<Millis> {
    Millis::parse_utc(&serde_json::from_str::<String>(raw?.get()).ok()?)
}

fn reserved_field(uuid: &str) -> Rejection {
    Rejection {
        code: "reserved_field".to_owned(),
        reason: format!(
            "`data` of `{uuid}` holds another `_id`, the field that keeps the uuid; send it by another name"
        ),
    }
}

/// Whether a text is a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    let digit =
        |(n, byte): (usize, u8)| if matches!(n, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(digit)
}

const VERSION: &str = "must be a version such as \"1.2.0\"";

/// The first number of `major.minor.patch`; `None` when the text is no such version.
#[must_use]
pub fn major_version(text: &str) -> Option<u64> {
    let numbers = text.split(['-', '+']).next()?;
    let numbers: Vec<u64> = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match numbers[..] {
        [major, _, _] => Some(major),
        _ => None,
    }
}

fn object<'a, T: Deserialize<'a>>(at: impl Display, text: Option<&'a str>) -> Result<T, Malformed> {
    let Some(text) = text.filter(|text| text.starts_with('{')) else {
        return Err(Malformed::element(at.to_string(), "must be an object"));
    };
    serde_json::from_str(text).map_err(|e| Malformed::element(at.to_string(), format!("cannot be read: {e}")))
}

fn value<T: DeserializeOwned>(at: impl Display, raw: Option<&RawValue>, rule: &str) -> Result<T, Malformed> {
    let Some(raw) = raw else { return Err(Malformed::element(at.to_string(), format!("is missing: it {rule}"))) };
    serde_json::from_str(raw.get()).map_err(|_| Malformed::element(at.to_string(), rule))
}

/// A value that may be absent.
fn extension<T: DeserializeOwned + Default>(
    at: impl Display,
    raw: Option<&RawValue>,
    rule: &str,
) -> Result<T, Malformed> {
    raw.map_or_else(|| Ok(T::default()), |raw| value(at, Some(raw), rule))
}

fn number(at: impl Display, raw: Option<&RawValue>, lowest: u64) -> Result<u64, Malformed> {
    let rule = format!("must be a whole number from {lowest} to {NUMBER_MAX}");
    let number: u64 = value(&at, raw, &rule)?;
    if (lowest..=NUMBER_MAX).contains(&number) { Ok(number) } else { Err(Malformed::element(at.to_string(), rule)) }
}

fn uuid(at: impl Display, raw: Option<&RawValue>) -> Result<String, Malformed> {
    let rule = "must be a UUID such as \"22222222-2222-4222-8222-000000000001\"";
    let text: String = value(&at, raw, rule)?;
    if is_uuid(&text) { Ok(text) } else { Err(Malformed::element(at.to_string(), rule)) }
}
