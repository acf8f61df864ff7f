//! From a packet's text to its head and its entities. What is wrong is named by its place; which entities are
//! taken is decided elsewhere.

use super::{Header, Operation};
use crate::model::{
    Body, CollectionName, DocId, Entity, EntityEdit, Fields, Limits, Malformed, Millis, NodeId, Rejection,
};
use crate::wire::digest::{Digest64, fnv128};
use indexmap::IndexMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

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

/// A packet that is JSON and whose head is in order. Its entities have not been looked at.
#[derive(Clone, Debug)]
pub struct Opened<'a> {
    /// The head.
    pub header: Header,
    body: Contents<'a>,
}

#[derive(Clone, Debug)]
enum Contents<'a> {
    /// A body as it should be.
    Listed(Elements<'a>),
    /// What stands in its place, if anything does.
    Other(Option<&'a RawValue>),
}

/// The elements of a packet's body as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Elements<'a>(#[serde(borrow)] Vec<&'a RawValue>);

/// What programs on Windows put before a text of UTF-8. It says nothing and belongs to no value.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the text and the head of a packet, and finds its elements: of a packet that is in order all in one pass.
///
/// # Errors
/// [`Malformed::Json`] when the text is not JSON, [`Malformed::Element`] naming what is missing or wrong.
pub fn open(text: &[u8], from: Side) -> Result<Opened<'_>, Malformed> {
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow, default)]
        header: Option<&'a RawValue>,
        #[serde(borrow, deserialize_with = "listed")]
        body: Elements<'a>,
    }
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(borrow, default)]
        header: Option<&'a RawValue>,
        #[serde(borrow, default)]
        body: Option<&'a RawValue>,
    }
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.trim_ascii_start().starts_with(b"{")
        && let Ok(Whole { header: head, body }) = serde_json::from_slice(text)
    {
        return Ok(Opened { header: header(head, from)?, body: Contents::Listed(body) });
    }
    // Once more, for what exactly is wrong.
    let whole: &RawValue = serde_json::from_slice(text).map_err(|e| Malformed::json("the packet is not JSON", e))?;
    let top: Top<'_> = object("packet", Some(whole.get()))?;
    Ok(Opened { header: header(top.header, from)?, body: Contents::Other(top.body) })
}

/// Only an object is a body: a list would count as one whose first element is the list of entities.
fn listed<'de, D: Deserializer<'de>>(body: D) -> Result<Elements<'de>, D::Error> {
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(borrow)]
        entities: Elements<'a>,
    }
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = Elements<'de>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Elements<'de>, A::Error> {
            Parts::deserialize(MapAccessDeserializer::new(map)).map(|parts| parts.entities)
        }
    }
    body.deserialize_map(Object)
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
        #[serde(borrow, default)]
        conflicts_after: Option<&'a RawValue>,
        #[serde(borrow, default)]
        conflicts: Option<&'a RawValue>,
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
        conflicts_after: extension("header.conflicts_after", parts.conflicts_after, "must be a whole number")?,
        conflicts: match from {
            Side::Node => None,
            Side::Hub => extension("header.conflicts", parts.conflicts, "must list edits that lost")?,
        },
    })
}

impl<'a> Opened<'a> {
    /// The elements of the body.
    ///
    /// # Errors
    /// [`Malformed::Element`] when there is no list of entities.
    pub fn elements(&self) -> Result<Elements<'a>, Malformed> {
        match &self.body {
            Contents::Listed(elements) => Ok(elements.clone()),
            Contents::Other(body) => {
                let _: IgnoredAny = object("body", body.map(RawValue::get))?;
                Err(Malformed::element("body.entities", "must be a list"))
            }
        }
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

/// Fields as they stand in the packet, each once.
struct Given<'a>(Vec<(Name<'a>, &'a RawValue)>);

/// A field's name, borrowed unless it is spelled with escapes.
#[derive(PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Given<'a> {
    fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> + Clone {
        self.0.iter().map(|(name, value)| (&*name.0, *value))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(other, _)| other.0 == name)
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.place(name).map(|n| self.0[n].1)
    }

    fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        self.place(name).map(|n| self.0.remove(n).1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(data: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Name<'de>, &'de RawValue)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        data.deserialize_map(Object).map(|fields| Given(once(fields)))
    }
}

/// Of a name that is there twice the last value counts, as everywhere. Few objects have one, and no map is made to see
/// that.
fn once<'a>(fields: Vec<(Name<'a>, &'a RawValue)>) -> Vec<(Name<'a>, &'a RawValue)> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| &*name.0).collect();
    names.sort_unstable();
    if names.windows(2).all(|two| two[0] != two[1]) {
        return fields;
    }
    fields.into_iter().collect::<IndexMap<_, _>>().into_iter().collect()
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
        let digest = digest(&parts, data.as_ref());
        let stated = data.as_ref().and_then(|data| time(data.get("updated_at")));
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
        if given.remove("_id").is_some_and(|id| !same(id)) {
            return EntityEdit::Unusable(reserved_field(uuid));
        }
        if let Err(why) = self.check_size(uuid, raw, &given) {
            return EntityEdit::Unusable(Rejection { code: why.code().to_owned(), reason: why.to_string() });
        }
        for name in given.iter().map(|(name, _)| name).chain(["_id"]) {
            unset.remove(name);
        }
        let sent = Body::of_fields(uuid, given.iter());
        EntityEdit::Put { collection, insert: operation == Operation::Insert, sent, unset }
    }

    /// The text that was sent is never shorter than what is kept of it.
    fn check_size(&self, uuid: &str, raw: &str, given: &Given<'_>) -> Result<(), Malformed> {
        Body::check(raw, uuid, self.limits).or_else(|_| {
            let kept: Fields = given.iter().map(|(name, value)| (name, value.to_owned())).collect();
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
fn digest(parts: &Parts<'_>, data: Option<&Given<'_>>) -> u64 {
    let around = [parts.kind, parts.uuid, parts.operation, parts.updated_at, parts.unset];
    let hash =
        around.into_iter().fold(Digest64::default(), |hash, part| with_value(hash, part.map_or("", RawValue::get)));
    let fields = data.into_iter().flat_map(Given::iter);
    fields.fold(hash, |hash, (name, value)| with_value(hash.with(name.as_bytes()), value.get())).0
}

/// Takes in a value without the white space between its tokens, of which only lists and objects have some.
fn with_value(hash: Digest64, json: &str) -> Digest64 {
    if !json.starts_with(['{', '[']) || !json.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return hash.with(json.as_bytes());
    }
    let (mut in_string, mut escaped) = (false, false);
    let counts = |byte: &u8| {
        let counts = in_string || !byte.is_ascii_whitespace();
        in_string ^= *byte == b'"' && !escaped;
        escaped = in_string && !escaped && *byte == b'\\';
        counts
    };
    let compact: Vec<u8> = json.bytes().filter(counts).collect();
    hash.with(&compact)
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
