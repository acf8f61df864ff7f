//! Every store passes the same contract.

#[path = "../../server/tests/support/postgres.rs"]
mod postgres_server;

use postgres_server::Postgres as Server;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use syncline_server::store::{MemoryStore, PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore};
use syncline_sim::contract::{AnyStore, Bench};
use syncline_sim::store_contract;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

struct Memory;

impl Bench for Memory {
    fn store(&self) -> AnyStore {
        Arc::new(MemoryStore::new())
    }

    fn reopen(&self, store: AnyStore) -> Pin<Box<dyn Future<Output = AnyStore> + Send + '_>> {
        Box::pin(async { store })
    }
}

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Sqlite {
        Sqlite(tempfile::tempdir().expect("a directory for the test"))
    }
}

impl Bench for Sqlite {
    fn store(&self) -> AnyStore {
        Arc::new(SqliteStore::open(self.0.path(), SqliteOptions::default()).expect("the store opens"))
    }

    fn reopen(&self, store: AnyStore) -> Pin<Box<dyn Future<Output = AnyStore> + Send + '_>> {
        Box::pin(async move {
            store.close().await.expect("the store closes");
            drop(store);
            self.store()
        })
    }
}

/// A database of a server that all stories share.
struct Postgres(PostgresUrl);

impl Postgres {
    fn new() -> Postgres {
        let server = Server::shared();
        Postgres(PostgresUrl::parse(&server.url(&server.database())).expect("a good URL"))
    }
}

impl Bench for Postgres {
    fn store(&self) -> AnyStore {
        let open = PostgresStore::open(&self.0, PostgresOptions::default());
        Arc::new(block_in_place(|| Handle::current().block_on(open)).expect("the store opens"))
    }

    fn reopen(&self, store: AnyStore) -> Pin<Box<dyn Future<Output = AnyStore> + Send + '_>> {
        Box::pin(async move {
            store.close().await.expect("the store closes");
            drop(store);
            self.store()
        })
    }
}

store_contract!(memory, Memory);
store_contract!(sqlite, Sqlite::new());
store_contract!(postgres, Postgres::new());
