//! Events for pages from applications, and what pages ask before they join: which rooms there are, how many are in
//! them, and after how much silence to refresh.

use crate::answer;
use crate::app::{App, SYNC_TOKEN};
use crate::auth::Grant;
use crate::dialect::{Query, read_body};
use crate::error::ServerError;
use crate::options::RoomRule;
use crate::rooms::{Event, Item, Reason, Scope};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::Uri;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use syncline_core::model::{EventName, Malformed, RoomName, SpaceName};

type Answer = Result<Response, ServerError>;

/// `POST /api/sync/emit`: tells an event. The answer says which `seq` it has; who has heard it by then, nobody knows.
pub(super) async fn emit(State(app): State<Arc<App>>, request: Request) -> Answer {
    let grant = app.authenticate_sender(request.headers()).await?;
    let space = grant.space().unwrap_or(&app.options.default_space);
    let _slot = app.slot(space, &grant)?;
    let held = read_body(&app, Some(space), request).await?;
    let body = held.parse(|bytes| serde_json::from_slice(bytes).map_err(|e| Malformed::json("the body", e).into()));
    let Value::Object(fields) = body.await? else {
        return Err(ServerError::bad("malformed_body", "the body is a JSON object: {\"event\": …, \"reason\": …}"));
    };
    let event = read(fields, &app, &grant)?;
    grant.check_space(&event.space)?;
    grant.check_emit(event.scope.room())?;
    app.hub.space(&event.space).await?;
    let seq = app.rooms.emit(event)?;
    Ok(answer::json(&json!({ "status": "ok", "seq": seq })))
}

/// `GET /api/sync/rooms`. Pages without a token are answered where they may join without one.
pub(super) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Answer {
    let shown = headers.contains_key(AUTHORIZATION) || headers.contains_key(SYNC_TOKEN);
    let anonymous = !shown && app.options.rooms.anonymous;
    let grant = if anonymous { None } else { Some(app.authenticate_sender(&headers).await?) };
    let query = Query::parse(uri.query().unwrap_or_default());
    let space = match (query.get("space").map(SpaceName::new).transpose()?, &grant) {
        (Some(space), Some(grant)) => {
            grant.check_space(&space)?;
            space
        }
        (None, Some(grant)) => grant.space().unwrap_or(&app.options.default_space).clone(),
        (_, None) => app.options.default_space.clone(),
    };
    let options = app.rooms.options();
    let opens = |room: &RoomName, rule: &RoomRule| match &grant {
        Some(grant) => grant.check_room(room, rule.granted, &rule.collections).is_ok(),
        None => !rule.granted,
    };
    let open = options.rooms.iter().filter(|(room, rule)| opens(room, rule));
    let rooms: Vec<Value> = open
        .map(|(room, rule)| {
            json!({ "room": room, "members": app.rooms.present(&space, room), "refresh_on": rule.refresh_on })
        })
        .collect();
    Ok(answer::json(&json!({
        "idle_seconds": options.idle.as_secs(),
        "debounce_ms": u64::try_from(options.debounce.as_millis()).unwrap_or(u64::MAX),
        "rooms": rooms,
    })))
}

/// What the body says; every refusal names the field.
fn read(mut fields: Map<String, Value>, app: &App, grant: &Grant) -> Result<Event, ServerError> {
    let name = match fields.remove("event") {
        Some(Value::String(name)) => EventName::new(name).map_err(|error| wrong("event", error.to_string()))?,
        _ => return Err(wrong("event", "the name of the event, such as `files:changed`")),
    };
    let reason = fields.remove("reason").and_then(|reason| Reason::parse(reason.as_str()?));
    let reason = reason.ok_or_else(|| wrong("reason", "one of updated, added, deleted, toggled"))?;
    let scope = match fields.remove("room") {
        Some(Value::Null) => Scope::Global,
        Some(Value::String(room)) => known(app, RoomName::new(&room).ok(), &room)?,
        None => known(app, name.topic(), name.as_str().split(':').next().unwrap_or_default())?,
        Some(_) => return Err(wrong("room", "the name of a room, or null for everybody")),
    };
    let id = fields.remove("id").map_or(Some(Item::Unknown), Item::read);
    let id = id.ok_or_else(|| wrong("id", "a text of at most 512 bytes, a number or null"))?;
    let data = fields.remove("data").unwrap_or_default();
    let space = match fields.remove("space") {
        None | Some(Value::Null) => grant.space().unwrap_or(&app.options.default_space).clone(),
        Some(Value::String(space)) => SpaceName::new(space).map_err(|error| wrong("space", error.to_string()))?,
        Some(_) => return Err(wrong("space", "the name of a space")),
    };
    if let Some(other) = fields.keys().next() {
        let shown: String = other.chars().take(40).collect();
        return Err(wrong(&shown, "no field of an event; it has event, reason, room, id, data and space"));
    }
    let limit = app.options.rooms.event_bytes;
    if data.to_string().len() > limit {
        return Err(ServerError::TooMuch {
            code: "event_too_large",
            what: "`data`".to_owned(),
            limit: "rooms.event_bytes",
            value: limit,
            advice: "tell what changed, and let pages fetch it",
        });
    }
    Ok(Event { space, name, scope, reason, id, data, epoch: None })
}

fn known(app: &App, room: Option<RoomName>, shown: &str) -> Result<Scope, ServerError> {
    match room.filter(|room| app.options.rooms.rooms.contains_key(room)) {
        Some(room) => Ok(Scope::Room(room)),
        None => {
            let shown: String = shown.chars().take(64).collect();
            let rule = "name one that there is, null for everybody, or configure it (`[[rooms.room]]`)";
            Err(wrong("room", format!("there is no room `{shown}`; {rule}")))
        }
    }
}

fn wrong(field: &str, rule: impl Into<String>) -> ServerError {
    ServerError::Field { field: field.to_owned(), rule: rule.into() }
}
