//! The hub inside: which rooms there are, which collections they tell of, and what pages may do.
//!
//! Owns the set-up. Must never answer a request.

use crate::error::RegistryError;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::{CollectionName, EventName, NodeId, RoomName};
use syncline_server::app::App;
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::{SqliteOptions, SqliteStore};
use syncline_server::{Options, RoomRule, RoomsOptions, open as open_hub};

/// What pages show to the hub. It stands in every page, so whoever may load a page has it: an application with
/// users of its own would hand out a token for each.
pub const PAGES_TOKEN: &str = "the-pages-of-the-registry";

/// The collections, each with a room of its name.
const COLLECTIONS: [&str; 5] = ["files", "users", "groups", "categories", "registrators"];

/// What else a page shows, and so wants to hear of: `files` shows names of categories and registrators, which is
/// preset; categories and registrators count their files, and so on.
const SHOWS: [(&str, &[&str]); 5] = [
    ("users", &["groups"]),
    ("groups", &["users"]),
    ("categories", &["files"]),
    ("registrators", &["files"]),
    ("index", &COLLECTIONS),
];

/// Opens the hub on its data.
pub async fn open(data: &Path, idle_seconds: u64) -> Result<Arc<App>, RegistryError> {
    let options = Options {
        tokens: vec![DeclaredToken { secret: PAGES_TOKEN.to_owned(), spec: pages() }],
        rooms: rooms(idle_seconds),
        ..Options::default()
    };
    let store = SqliteStore::open(data, SqliteOptions::default())?;
    Ok(open_hub(Arc::new(store), options).await?)
}

fn pages() -> TokenSpec {
    let collections = COLLECTIONS.map(|name| CollectionName::new(name).expect("a valid name"));
    TokenSpec {
        collections: Some(BTreeSet::from(collections)),
        // The pages `index` and `admin` show collections, and are none.
        rooms: Some(
            COLLECTIONS
                .iter()
                .chain(&["index", "admin"])
                .map(|name| RoomName::new(*name).expect("a valid name"))
                .collect(),
        ),
        ..TokenSpec::named(NodeId::new("pages").expect("a valid name"))
    }
}

fn rooms(idle_seconds: u64) -> RoomsOptions {
    let mut options = RoomsOptions { idle: Duration::from_secs(idle_seconds), ..RoomsOptions::default() };
    for (room, shown) in SHOWS {
        let name = RoomName::new(room).expect("a valid name");
        let rule = options.rooms.entry(name.clone()).or_insert_with(|| RoomRule::of(&name));
        let event = |shown: &&str| EventName::new(format!("{shown}:changed")).expect("a valid name");
        rule.refresh_on.extend(shown.iter().map(event));
    }
    options
}
