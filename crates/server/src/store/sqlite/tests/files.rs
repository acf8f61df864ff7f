//! Which files of spaces are open, what they are called, and that none is begun anew.

use super::*;

#[test]
fn names_that_differ_only_in_case_have_files_that_differ_in_more() {
    let file = |name: &str| super::super::home::file_name(&SpaceName::new(name).unwrap());
    assert_eq!(file("acme"), "acme.db");
    assert_ne!(file("Acme").to_lowercase(), file("acme"));
    assert_ne!(file("Acme").to_lowercase(), file("ACME").to_lowercase());
}

#[tokio::test]
async fn only_so_many_spaces_are_open_and_none_is_closed_in_use() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { open_spaces: 2, ..Options::default() }).unwrap();
    for n in 0..10 {
        store.open_space(&named(&format!("s{n}"))).await.unwrap();
    }
    assert_eq!(store.spaces.vitals().len(), 2);
    assert_eq!(store.head(&named("s0")).await.unwrap().lsn, Lsn(0), "opened again on demand");

    let looked_at = store.spaces.vitals();
    assert_eq!(store.head(&named("s4")).await.unwrap().lsn, Lsn(0), "who looks after a space does not use it");
    drop(looked_at);

    let in_use = (store.file(&named("s0")).await.unwrap(), store.file(&named("s4")).await.unwrap());
    let refused = store.head(&named("s5")).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooManyOpen { most: 2 }), "{refused}");
    drop(in_use);
    assert_eq!(store.head(&named("s5")).await.unwrap().lsn, Lsn(0));
}

#[tokio::test]
async fn an_idle_space_is_closed_and_what_it_holds_is_there_when_it_is_used_again() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap();
    store.open_space(&main_space()).await.unwrap();
    let before = write(&store, 10).await.unwrap();

    store.close_idle().await;

    assert!(store.spaces.vitals().is_empty());
    assert_eq!(store.head(&main_space()).await.unwrap(), before);
    assert_eq!(write(&store, 10).await.unwrap().lsn, Lsn(2));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_space_is_not_idle_before_its_time_or_while_it_is_read() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    store.close_idle().await;
    assert_eq!(store.spaces.vitals().len(), 1, "its time is not over");

    let store = {
        store.close().await.unwrap();
        SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap()
    };
    write(&store, 600_000).await.unwrap();
    write(&store, 600_000).await.unwrap();
    let (out, mut chunks) = mpsc::channel(1);
    let space = main_space();
    let scan = store.scan(&space, snapshot(), Box::new(Texts), out);
    let read = async {
        let mut bytes = chunks.recv().await.unwrap().len();
        store.close_idle().await;
        assert_eq!(store.spaces.vitals().len(), 1, "a reader is at it");
        while let Some(chunk) = chunks.recv().await {
            bytes += chunk.len();
        }
        bytes
    };
    let (scanned, bytes) = tokio::join!(scan, read);
    assert!(scanned.unwrap().rows == 2 && bytes > 1_200_000);
}

#[tokio::test]
async fn a_space_whose_file_got_lost_is_not_begun_anew() {
    let dir = tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), Options { space_idle: Duration::ZERO, ..Options::default() }).unwrap();
    store.open_space(&main_space()).await.unwrap();
    let before = write(&store, 10).await.unwrap();
    store.close_idle().await;
    let (file, away) = (dir.path().join("spaces/main.db"), dir.path().join("away"));
    fs::rename(&file, &away).unwrap();

    for asked in [store.head(&main_space()).await, store.open_space(&main_space()).await, write(&store, 10).await] {
        let refused = asked.unwrap_err().to_string();
        assert!(refused.contains("main.db") && refused.contains("backup"), "{refused}");
    }
    assert!(!file.exists());
    let failed = store.check().await.unwrap();
    assert!(matches!(failed.get(&main_space()), Some(StoreError::Missing { .. })), "{failed:?}");

    fs::rename(&away, &file).unwrap();
    assert!(store.check().await.unwrap().is_empty());
    assert_eq!(store.head(&main_space()).await.unwrap(), before);
}

#[tokio::test]
async fn data_that_was_taken_away_takes_no_writes_until_it_is_back() {
    let home = tempdir().unwrap();
    let (dir, away) = (home.path().join("hub"), home.path().join("away"));
    let store = open(&dir).await;
    write(&store, 10).await.unwrap();
    store.check().await.unwrap();

    fs::rename(&dir, &away).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Gone { .. })));
    assert!(matches!(write(&store, 10).await, Err(StoreError::Gone { .. })), "nobody would find it again");
    fs::create_dir_all(dir.join("spaces")).unwrap();
    assert!(matches!(store.check().await, Err(StoreError::Gone { .. })), "an empty directory is another one");

    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&away, &dir).unwrap();
    store.check().await.unwrap();
    assert_eq!(write(&store, 10).await.unwrap().lsn, Lsn(2));
}
