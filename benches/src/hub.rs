//! The hub as a benchmark runs it: the default options, an embedded store, one declared token.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use syncline_core::model::{CollectionName, NodeId};
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::{PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore, Store};
use syncline_server::{Options, RedisAddress, RedisOptions, Server};

/// What requests of a benchmark carry.
pub const TOKEN: &str = "a-token-of-the-benchmark-and-of-nothing-else";

/// The variable that names the port of the Redis between several hubs.
pub const REDIS_PORT: &str = "REDIS_PORT";

/// The variable that names the database of several hubs.
pub const STORE: &str = "STORE";

/// Serves until the process ends; prints the port once it accepts connections.
///
/// # Errors
/// When the store or the port cannot be opened.
pub async fn serve(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn Store> = match std::env::var(STORE) {
        Ok(url) => Arc::new(PostgresStore::open(&PostgresUrl::parse(&url)?, PostgresOptions::default()).await?),
        Err(_) => Arc::new(SqliteStore::open(dir, SqliteOptions::default())?),
    };
    let spec = TokenSpec { admin: true, ..TokenSpec::named(NodeId::new("bench")?) };
    let redis = match std::env::var(REDIS_PORT) {
        Ok(port) => Some(RedisOptions::at(RedisAddress::Tcp("127.0.0.1".to_owned(), port.parse()?))),
        Err(_) => None,
    };
    let options = Options {
        redis,
        listen: "127.0.0.1:0".to_owned(),
        default_collection: CollectionName::new("docs")?,
        tokens: vec![DeclaredToken { secret: TOKEN.to_owned(), spec }],
        ..Options::default()
    };
    let server = Server::bind(store, options).await?;
    println!("{}", server.addr().tcp().ok_or("the hub of a benchmark listens on a port")?.port());
    Ok(server.run(std::future::pending()).await?)
}
