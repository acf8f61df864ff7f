//! A hub as a list of objects.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use syncline_attach::Attachment;
use syncline_attach::attachment::{Outgoing, Taken};
use syncline_attach::mapping::DEFAULT_HUB_ID;
use syncline_core::model::{Body, Fields};
use syncline_core::wire::exchange::{Operation, Side, WireEntity, open};

type Name = (String, String);

/// Keeps what it is told last, field by field; a number of its log for each change.
#[derive(Default)]
pub struct Centre {
    log: RefCell<Log>,
}

#[derive(Default)]
struct Log {
    objects: BTreeMap<Name, (u64, Option<Fields>, String)>,
    head: u64,
    nodes: BTreeMap<String, Node>,
    page: usize,
    reject: BTreeSet<String>,
}

#[derive(Default)]
struct Node {
    cursor: u64,
    sent: BTreeMap<u64, u64>,
    number: u64,
    received: u64,
    rejected: Vec<Value>,
}

impl Centre {
    /// A hub that sends at most so many objects in a packet.
    pub fn with_page(page: usize) -> Centre {
        let centre = Centre::default();
        centre.log.borrow_mut().page = page;
        centre
    }

    /// Somebody else sets fields of an object.
    pub fn set(&self, kind: &str, uuid: &str, fields: Value) {
        self.log.borrow_mut().put(kind, uuid, &fields.to_string(), "somebody");
    }

    pub fn remove(&self, kind: &str, uuid: &str) {
        self.log.borrow_mut().store(kind, uuid, None, "somebody");
    }

    /// From now on objects of a type are set aside.
    pub fn reject(&self, kind: &str) {
        self.log.borrow_mut().reject.insert(kind.into());
    }

    /// The text of an object.
    pub fn text(&self, kind: &str, uuid: &str) -> Option<String> {
        let log = self.log.borrow();
        let (_, fields, _) = log.objects.get(&(kind.into(), uuid.into()))?;
        fields.as_ref().map(|fields| fields.to_body().text().to_owned())
    }

    pub fn object(&self, kind: &str, uuid: &str) -> Option<Value> {
        self.text(kind, uuid).map(|text| serde_json::from_str(&text).unwrap())
    }

    /// All objects of a type that are alive, by id.
    pub fn all(&self, kind: &str) -> BTreeMap<String, Value> {
        let log = self.log.borrow();
        let alive = log.objects.iter().filter(|((of, _), (_, fields, _))| of == kind && fields.is_some());
        let ids: Vec<String> = alive.map(|((_, uuid), _)| uuid.clone()).collect();
        drop(log);
        ids.into_iter().map(|uuid| (uuid.clone(), self.object(kind, &uuid).unwrap())).collect()
    }

    /// The only object of a type.
    pub fn only(&self, kind: &str) -> (String, Value) {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    /// How far the log has grown.
    pub fn head(&self) -> u64 {
        self.log.borrow().head
    }

    /// Answers a packet.
    pub fn answer(&self, packet: &str) -> String {
        let opened = open(packet.as_bytes(), Side::Node).unwrap();
        let head = &opened.header;
        let entities: Vec<WireEntity> = {
            let whole: Value = serde_json::from_str(packet).unwrap();
            assert_eq!(whole["header"]["whole_objects"], true);
            #[derive(serde::Deserialize)]
            struct Packet {
                body: syncline_core::wire::exchange::Contents,
            }
            serde_json::from_str::<Packet>(packet).unwrap().body.entities
        };
        let node = head.sender_node_id.clone();
        self.log.borrow_mut().exchange(&node, (head.packet_no, head.ack_packet_no), entities)
    }
}

impl Log {
    fn store(&mut self, kind: &str, uuid: &str, fields: Option<Fields>, by: &str) {
        self.head += 1;
        self.objects.insert((kind.into(), uuid.into()), (self.head, fields, by.into()));
    }

    fn put(&mut self, kind: &str, uuid: &str, data: &str, by: &str) {
        let mut fields =
            self.objects.get(&(kind.into(), uuid.into())).and_then(|(_, fields, _)| fields.clone()).unwrap_or_default();
        for (name, value) in Body::trusted(data).fields().iter() {
            fields.set(name, value.to_owned());
        }
        self.store(kind, uuid, Some(fields), by);
    }

    fn exchange(&mut self, id: &str, (number, ack): (u64, u64), entities: Vec<WireEntity>) -> String {
        let mut node = self.nodes.remove(id).unwrap_or_default();
        if let Some(cursor) = node.sent.get(&ack) {
            node.cursor = *cursor;
        }
        if number > node.received {
            node.received = number;
            node.rejected.clear();
            for entity in entities {
                // Where others have written since, the node is told what stands.
                let name = (entity.kind.clone(), entity.uuid.clone());
                let news = self.objects.get(&name).is_some_and(|(lsn, _, by)| *lsn > node.cursor && by != id);
                let id = if news { "both" } else { id };
                if self.reject.contains(&entity.kind) {
                    let (kind, uuid) = (&entity.kind, &entity.uuid);
                    node.rejected
                        .push(json!({"type": kind, "uuid": uuid, "code": "unknown_type", "reason": "not here"}));
                    continue;
                }
                match entity.operation {
                    Operation::Delete => self.store(&entity.kind, &entity.uuid, None, id),
                    _ => self.put(&entity.kind, &entity.uuid, entity.data.as_deref().map_or("{}", RawValue::get), id),
                }
            }
        }
        let mut news: Vec<_> = self.objects.iter().filter(|(_, (lsn, _, by))| *lsn > node.cursor && by != id).collect();
        news.sort_by_key(|(_, (lsn, _, _))| *lsn);
        let page = if self.page == 0 { usize::MAX } else { self.page };
        let more = news.len() > page;
        news.truncate(page);
        let upto = if more { news.last().map_or(self.head, |(_, (lsn, _, _))| *lsn) } else { self.head };
        let told = news.iter().map(|((kind, uuid), (_, fields, _))| {
            let data = fields.as_ref().map_or("null".to_owned(), |fields| fields.to_body().text().to_owned());
            let operation = if fields.is_some() { "UPDATE" } else { "DELETE" };
            format!(r#"{{"type":"{kind}","uuid":"{uuid}","operation":"{operation}","data":{data}}}"#)
        });
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            node.number += 1;
        }
        node.sent.insert(node.number, upto);
        let mut header = json!({
            "sender_node_id": DEFAULT_HUB_ID, "recipient_node_id": id, "packet_no": node.number,
            "ack_packet_no": node.received, "schema_version": "1.0.0",
        });
        if more {
            header["has_more"] = json!(true);
        }
        if !node.rejected.is_empty() {
            header["rejected"] = json!(node.rejected);
        }
        self.nodes.insert(id.into(), node);
        format!(r#"{{"header":{header},"body":{{"entities":[{}]}}}}"#, told.join(","))
    }
}

#[track_caller]
pub fn sync(attached: &mut Attachment, centre: &Centre) -> Taken {
    let mut all = Taken::default();
    for _ in 0..1_000 {
        let (sent, taken) = step(attached, centre);
        all.stored += taken.stored;
        all.removed += taken.removed;
        all.confirmed += taken.confirmed;
        all.conflicts += taken.conflicts;
        all.aside += taken.aside;
        all.unmapped.extend(taken.unmapped);
        let status = attached.status().unwrap();
        if !taken.more && sent.entities == 0 && status.waiting.is_empty() && status.filled_out {
            return all;
        }
    }
    panic!("it does not come to rest: {:?}", attached.status());
}

/// One packet and its answer.
#[track_caller]
pub fn step(attached: &mut Attachment, centre: &Centre) -> (Outgoing, Taken) {
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    let taken = attached.take(&sent, answer.as_bytes()).unwrap_or_else(|error| panic!("{error}: {answer}"));
    (sent, taken)
}

pub fn uuid(n: usize) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}
