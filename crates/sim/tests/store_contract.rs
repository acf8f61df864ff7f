//! Every store passes the same contract.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use syncline_server::store::{MemoryStore, SqliteOptions, SqliteStore};
use syncline_sim::contract::{AnyStore, Bench};
use syncline_sim::store_contract;
use tempfile::TempDir;

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

store_contract!(memory, Memory);
store_contract!(sqlite, Sqlite::new());
