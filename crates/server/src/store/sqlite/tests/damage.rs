//! Texts and pages that are not what was written.

use super::*;

/// Reads texts apart, as dialects do that tell documents in another form.
struct Apart;

impl Encoder for Apart {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(Body::trusted(row.body).fields().to_body().text().as_bytes());
        true
    }
    fn takes_apart(&self) -> bool {
        true
    }
    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

#[tokio::test]
async fn a_damaged_text_is_an_error_that_names_its_document_and_stops_no_other_one() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 10).await.unwrap();
    write(&store, 10).await.unwrap();
    for text in ["{broken", "[1]", "7"] {
        let other = Connection::open(dir.path().join("spaces/main.db")).unwrap();
        other.execute("UPDATE log SET body = ?1 WHERE lsn = 1", [text]).unwrap();

        let key = |id: &str| (CollectionName::new("a").unwrap(), DocId::new(id).unwrap());
        let said = store.documents(&main_space(), vec![key("d1")]).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`"), "{said}");
        let touch = Touch { docs: [key("d1")].into(), ..Touch::default() };
        let said = store.commit(&main_space(), touch, Box::new(|_| WriteSet::default())).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`"), "{said}");
        let (out, _chunks) = mpsc::channel(8);
        let said = store.scan(&main_space(), snapshot(), Box::new(Apart), out).await.unwrap_err().to_string();
        assert!(said.contains("`d1` in `a`") && said.contains("syncline restore"), "{said}");

        assert_eq!(store.documents(&main_space(), vec![key("d2")]).await.unwrap().len(), 1);
        write(&store, 10).await.unwrap();
    }
}

/// Overwrites the last quarter of a file.
fn rot(file: &Path) {
    use std::os::unix::fs::FileExt;
    let pages = std::fs::metadata(file).unwrap().len() / 8_192;
    let open = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    (pages * 3 / 4..pages).for_each(|page| open.write_all_at(&[0xa5; 8_192], page * 8_192).unwrap());
}

#[tokio::test]
async fn a_space_that_nobody_reads_is_looked_at_and_stops_where_its_pages_are_damaged() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    for _ in 0..40 {
        write(&store, 20_000).await.unwrap();
    }
    assert!(store.examine(&main_space()).await.unwrap(), "it is sound");
    store.close().await.unwrap();
    rot(&dir.path().join("spaces/main.db"));
    let store = open(dir.path()).await;
    assert!(store.check().await.unwrap().is_empty(), "nobody has noticed");

    let said = store.examine(&main_space()).await.unwrap_err();

    assert!(matches!(said, StoreError::Damaged { .. }), "{said}");
    let failed = store.check().await.unwrap();
    assert!(matches!(failed.get(&main_space()), Some(StoreError::Damaged { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_damaged_text_is_found_by_a_look_and_not_sent_to_who_takes_it_as_it_is() {
    let dir = tempdir().unwrap();
    let store = open(dir.path()).await;
    write(&store, 10).await.unwrap();
    write(&store, 10).await.unwrap();
    let file = dir.path().join("spaces/main.db");
    // Each with whether it is noticed on the way out as well.
    let spoiled: [(&[u8], bool); 4] = [
        (b"{\"_id\":\"d1\",\"t\":\"\0\0\0\"}", true),
        (b"{\"_id\":\"d\xff\"}", true),
        (b"\0\0\0", true),
        (b"{\"_id\":\"d1\",,}", false),
    ];
    for (text, suspect) in spoiled {
        let sql = "UPDATE log SET body = CAST(?1 AS TEXT) WHERE lsn = 1";
        Connection::open(&file).unwrap().execute(sql, [text]).unwrap();

        let said = store.examine(&main_space()).await.unwrap_err();
        assert!(matches!(&said, StoreError::DamagedText { .. }) && said.to_string().contains("`d1` in `a`"), "{said}");
        let (out, _chunks) = mpsc::channel(8);
        let sent = store.scan(&main_space(), snapshot(), Box::new(Texts), out).await;
        assert_eq!(sent.is_err(), suspect, "{sent:?}");
        assert!(store.check().await.unwrap().is_empty(), "one document stops no space");
    }
}
