//! Writers that meet a full disk, a failure, or a disk that nobody waits for; and the log beside a file.

use super::*;

#[tokio::test]
async fn a_full_disk_refuses_one_commit_and_not_the_next() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 100).await.unwrap();
    let file = store.file(&main_space()).await.unwrap();
    let limit_pages = |extra: i64| {
        file.write(move |writer| {
            writer.transaction("limiting the file", |conn, _| {
                let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
                conn.query_row(&format!("PRAGMA max_page_count = {}", pages + extra), [], |_| Ok(())).unwrap();
                Ok(())
            })
        })
    };

    limit_pages(2).await.unwrap();
    let refused = write(&store, 1 << 20).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused:?}");
    assert_eq!(file.vitals().trouble.get(), Trouble::NoRoom);
    store.check().await.unwrap(); // The disk itself is not full here: looking for room finds some.
    assert!(!dir.path().join("room").exists(), "and leaves nothing behind");
    assert_eq!((store.head(&main_space()).await.unwrap().lsn, count(&store).await), (Lsn(1), 1));

    limit_pages(1_000).await.unwrap();
    assert_eq!(write(&store, 1 << 20).await.unwrap().lsn, Lsn(2));
    assert_eq!(file.vitals().trouble.get(), Trouble::None);
}

#[tokio::test]
async fn a_failure_nobody_can_vouch_for_stops_writing_but_not_reading() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 100).await.unwrap();
    let file = store.file(&main_space()).await.unwrap();
    let broken_disk = || {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        StoreError::engine("committing")(rusqlite::Error::SqliteFailure(code, None))
    };

    let failed = file.write(move |writer| writer.transaction("committing", |_, _| Err::<(), _>(broken_disk()))).await;

    assert!(matches!(failed, Err(StoreError::Poisoned { .. })), "{failed:?}");
    assert!(matches!(write(&store, 100).await, Err(StoreError::Poisoned { .. })), "it does not guess");
    store.open_space(&named("other")).await.unwrap();
    let failed = store.check().await.unwrap();
    assert!(matches!(failed.get(&main_space()), Some(StoreError::Poisoned { .. })), "{failed:?}");
    assert!(!failed.contains_key(&named("other")), "another space goes on");
    assert_eq!(count(&store).await, 1, "reads go on");
}

#[tokio::test]
async fn a_writer_that_would_no_longer_wait_for_the_disk_stops() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    let file = store.file(&main_space()).await.unwrap();
    let refuse = |context: AuthContext<'_>| match context.action {
        AuthAction::Pragma { pragma_name: "synchronous", pragma_value: Some("FULL" | "'FULL'") } => Authorization::Deny,
        _ => Authorization::Allow,
    };
    let prepare = move |conn: &Connection| conn.authorizer(Some(refuse));
    let prepared = file.write(move |writer| writer.transaction("preparing", |conn, _| Ok(prepare(conn)))).await;
    prepared.unwrap().unwrap();

    let noted = store.note_cursors(&main_space(), vec![(NodeId::new("n1").unwrap(), Lsn(0), Millis(1))]).await;

    assert!(matches!(noted, Err(StoreError::Poisoned { .. })), "{noted:?}");
    let refused = write(&store, 10).await;
    assert!(matches!(refused, Err(StoreError::Poisoned { .. })), "a commit would not be durable: {refused:?}");
}

#[test]
fn copying_the_log_of_a_lost_file_makes_no_file() {
    let dir = tempdir().unwrap();
    let lost = dir.path().join("lost.db");

    assert!(super::super::checkpoint::copy(&lost).is_err());

    assert!(!lost.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_starts_over_while_writing_goes_on() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;

    // 200 MiB go through a log that is copied from 32 MiB on.
    let mut largest = 0;
    for _ in 0..200 {
        write(&store, 1 << 20).await.unwrap();
        largest = largest.max(fs::metadata(dir.path().join("spaces/main.db-wal")).unwrap().len());
    }

    assert!(largest < 160 << 20, "the log grew to {} MiB", largest >> 20);
    assert_eq!(count(&store).await, 200);
}
