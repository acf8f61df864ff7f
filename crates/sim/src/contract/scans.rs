//! Reading rows: which, in which order, up to where.

use super::Bench;
use super::pen::{
    self, Do, among, by, collection, commit, id, log_after, net_after, open, scan, scan_comparing, scan_without,
    snapshot_after, space, write,
};
use std::collections::BTreeMap;
use syncline_core::hub::{Change, Entry, Ticket, Touch, WriteSet};
use syncline_core::model::{Author, Body, Facts, Lsn, Mark, Meta, Millis, Stamp, Version};
use syncline_server::store::{Scan, Scanned, Trim};
use tokio::sync::mpsc;

/// Superseded versions and removals are in the log, each at its place.
pub async fn a_log_scan_returns_every_change(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let head = write(
        &store,
        &[Do::Put("a", "x", 1), Do::Put("b", "y", 1), Do::Put("a", "x", 2), Do::Remove("b", "y"), Do::Ticket("a")],
    )
    .await;

    let all = scan(&store, log_after(0)).await.expect("readable");
    let later = scan(&store, log_after(2)).await.expect("readable");
    let nothing = scan(&store, log_after(5)).await.expect("readable");
    let only_b = Scan::Log { after: Lsn(0), collections: among(&["b"]), max_rows: 10, max_bytes: 1 << 20 };
    let only_b = scan(&store, only_b).await.expect("readable");
    let never = Scan::Log { after: Lsn(0), collections: among(&["never"]), max_rows: 10, max_bytes: 1 << 20 };
    let never = scan(&store, never).await.expect("readable");

    assert_eq!(all.words(), "1:x 2:y 3:x 4:-y");
    assert_eq!(all.head, head);
    assert_eq!(all.scanned, Scanned { upto: Lsn(4), rows: 4, more: false });
    assert_eq!(later.words(), "3:x 4:-y");
    assert_eq!(nothing.scanned, Scanned { upto: Lsn(5), rows: 0, more: false }, "a cursor never goes back");
    assert_eq!(only_b.words(), "2:y 4:-y");
    assert_eq!(only_b.scanned, Scanned { upto: Lsn(4), rows: 2, more: false });
    assert_eq!(never.scanned, Scanned { upto: Lsn(4), rows: 0, more: false });
    let row = &all.rows[3];
    assert_eq!((row.collection.as_str(), row.body.as_str()), ("b", r#"{"_id":"y","n":1}"#));
}

/// Pages by rows and by bytes fit together without a gap, and end on changes.
pub async fn a_log_scan_stops_at_its_limits(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Ticket("a"), Do::Put("b", "y", 1), Do::Put("a", "z", 1)]).await;
    write(&store, &[Do::Ticket("a"), Do::Ticket("a")]).await;
    let page = |after, max_rows, max_bytes| Scan::Log { after: Lsn(after), collections: None, max_rows, max_bytes };

    let first = scan(&store, page(0, 1, 1 << 20)).await.expect("readable");
    let second = scan(&store, page(1, 2, 1 << 20)).await.expect("readable");
    assert_eq!((first.words().as_str(), first.scanned), ("1:x", Scanned { upto: Lsn(1), rows: 1, more: true }));
    assert_eq!((second.words().as_str(), second.scanned), ("3:y 4:z", Scanned { upto: Lsn(4), rows: 2, more: false }));

    let tiny = scan(&store, page(0, 10, 1)).await.expect("readable");
    assert_eq!((tiny.words().as_str(), tiny.scanned.more), ("1:x", true), "a page holds at least one row");

    let only_a = |after| Scan::Log { after: Lsn(after), collections: among(&["a"]), max_rows: 1, max_bytes: 1 << 20 };
    let first = scan(&store, only_a(0)).await.expect("readable");
    let last = scan(&store, only_a(1)).await.expect("readable");
    assert_eq!(first.scanned, Scanned { upto: Lsn(1), rows: 1, more: true });
    assert_eq!(last.scanned, Scanned { upto: Lsn(4), rows: 1, more: false });
}

/// A row that the encoder leaves out takes no room in a page, and the page's end passes it.
pub async fn rows_left_out_do_not_count(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "-1", 1), Do::Put("a", "x", 1), Do::Put("a", "-2", 1), Do::Put("a", "y", 1)]).await;
    let page = |after| Scan::Log { after: Lsn(after), collections: None, max_rows: 1, max_bytes: 1 << 20 };

    let first = scan_without(&store, page(0), Some('-')).await.expect("readable");
    let second = scan_without(&store, page(first.scanned.upto.0), Some('-')).await.expect("readable");

    assert_eq!(first.words(), "2:x");
    assert!(first.scanned.more);
    assert_eq!((second.words().as_str(), second.scanned), ("4:y", Scanned { upto: Lsn(4), rows: 1, more: false }));
}

/// The newest version of each changed document of one collection, removals included.
pub async fn a_net_scan_returns_each_document_once(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("b", "w", 1), Do::Put("a", "z", 1)]).await;
    write(&store, &[Do::Put("a", "x", 2), Do::Remove("a", "y"), Do::Put("a", "x", 3), Do::Ticket("a")]).await;

    let all = scan(&store, net_after("a", 0)).await.expect("readable");
    let later = scan(&store, net_after("a", 5)).await.expect("readable");
    let never = scan(&store, net_after("never", 0)).await.expect("readable");

    assert_eq!(all.words(), "4:z 6:-y 7:x");
    assert_eq!(all.scanned, Scanned { upto: Lsn(7), rows: 3, more: false });
    assert_eq!(all.rows[2].body, r#"{"_id":"x","n":3}"#);
    assert_eq!(later.words(), "6:-y 7:x");
    assert_eq!(never.scanned, Scanned { upto: Lsn(7), rows: 0, more: false });
}

/// A brief net scan has the metas that tell what a reader must hear: of what is new, gone or eventful.
pub async fn a_brief_net_scan_has_the_metas_that_matter(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let at = |lsn, author| Mark { stamp: Stamp(lsn), lsn: Lsn(lsn), author: Author(author) };
    let change = |name: &str, lsn: u64, meta: Meta| {
        let version = Version { lsn: Lsn(lsn), author: Author(1), body: Body::trusted("{}"), meta };
        Entry::Change(Change { collection: collection("a"), id: id(name), version, facts: Facts::default() })
    };
    let since = |lsn| Meta { fields: BTreeMap::from([("f".to_owned(), at(9, 2))]), ..Meta::inserted(at(lsn, 1)) };
    let removed = Meta { removed: Some(at(9, 1)), ..since(1) };
    let entries = vec![
        change("known", 1, since(1)),
        change("known", 2, since(1)),
        change("new", 3, since(3)),
        change("gone", 4, removed),
        change("again", 5, Meta { again: true, ..since(1) }),
    ];
    commit(&store, by("n1"), WriteSet { entries, ..WriteSet::default() }).await.expect("written");

    let whole = scan(&store, net_after("a", 1)).await.expect("readable");
    let asked = Scan::Net { collection: collection("a"), after: Lsn(1), brief: true };
    let brief = scan(&store, asked).await.expect("readable");

    assert_eq!(brief.words(), "2:known 3:new 4:-gone 5:again");
    assert!(whole.rows.iter().all(|row| !row.meta.is_empty()));
    for (brief, whole) in brief.rows.iter().zip(&whole.rows).skip(1) {
        assert_eq!((&brief.meta, &brief.body, brief.stamp), (&whole.meta, &whole.body, whole.stamp));
    }
}

/// Nor do they make one request look at the whole log.
pub async fn a_page_of_little_ends_all_the_same(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &(0..40).map(|n| Do::Put("a", "-x", n)).collect::<Vec<_>>()).await;
    let page = |after| Scan::Log { after: Lsn(after), collections: None, max_rows: 2, max_bytes: 1 << 20 };

    let first = scan_without(&store, page(0), Some('-')).await.expect("readable");
    let second = scan_without(&store, page(first.scanned.upto.0), Some('-')).await.expect("readable");

    assert_eq!(first.scanned, Scanned { upto: Lsn(32), rows: 0, more: true });
    assert_eq!(second.scanned, Scanned { upto: Lsn(40), rows: 0, more: false });
}

/// Whoever compares gets each row with what readers saw before it, as long as a reader may stand on that.
pub async fn a_log_scan_shows_what_stood_before(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "x", 1), Do::Put("a", "y", 1), Do::Put("a", "x", 2), Do::Remove("a", "x")]).await;
    write(&store, &[Do::Put("a", "x", 3), Do::Put("b", "x", 1), Do::Put("a", "y", 2)]).await;
    let stood = async |after| {
        let heard = scan_comparing(&store, log_after(after)).await.expect("readable");
        heard.rows.into_iter().map(|row| (row.lsn.0, row.before)).collect::<Vec<_>>()
    };
    let all = scan(&store, log_after(0)).await.expect("readable").rows;
    let text = |lsn: u64| all.iter().find(|row| row.lsn.0 == lsn).map(|row| row.body.clone());

    let (first, second, other) = (text(1), text(3), text(2));
    let expected = [(1, None), (2, None), (3, first), (4, second.clone()), (5, None), (6, None), (7, other.clone())];
    assert_eq!(stood(0).await, expected);
    assert!(all.iter().all(|row| row.before.is_none()), "who does not compare pays for no look-up");

    store.trim(&space(), Trim { horizon: Lsn(3), ..Trim::default() }).await.expect("trimmed");
    assert_eq!(stood(3).await, [(4, second), (5, None), (6, None), (7, other)]);
}

/// Neither removed nor superseded versions, nor, when asked so, expired ones.
pub async fn a_snapshot_returns_live_documents(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("b", "y", 1), Do::Put("a", "x", 1), Do::Put("a", "gone", 1)]).await;
    let head = write(&store, &[Do::Put("b", "y", 2), Do::Remove("a", "gone"), Do::Ticket("a")]).await;
    expiring(&store, "brief", 7, Millis(5_000)).await;

    let asked = |names, by: Option<u64>| Scan::Snapshot {
        collections: names,
        after: Lsn(0),
        expired_by: by.map(Millis),
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    };
    let all = scan(&store, asked(None, None)).await.expect("readable");
    let at_5000 = scan(&store, asked(None, Some(5_000))).await.expect("readable");
    let at_4999 = scan(&store, asked(None, Some(4_999))).await.expect("readable");
    let only_a = scan(&store, asked(among(&["a", "never"]), Some(5_000))).await.expect("readable");
    let nothing = scan(&store, asked(among(&["never"]), None)).await.expect("readable");

    assert_eq!(all.words(), "2:x 4:y 7:brief");
    assert_eq!(all.scanned, Scanned { upto: Lsn(7), rows: 3, more: false });
    assert_eq!(all.head.epoch, head.epoch);
    assert_eq!(at_5000.words(), "2:x 4:y");
    assert_eq!(at_4999.words(), "2:x 4:y 7:brief");
    assert_eq!(only_a.words(), "2:x");
    assert_eq!(nothing.scanned, Scanned { upto: Lsn(7), rows: 0, more: false });
}

async fn expiring(store: &super::AnyStore, name: &str, lsn: u64, expires: Millis) {
    let mark = Mark { stamp: Stamp(1), lsn: Lsn(lsn), author: Author(1) };
    let body = Body::trusted(format!(r#"{{"_id":"{name}","expireAt":{}}}"#, expires.0));
    let facts = body.facts().clone();
    let version = Version { lsn: Lsn(lsn), author: Author(1), body, meta: Meta::inserted(mark) };
    let change = Change { collection: collection("c"), id: pen::id(name), version, facts };
    let writes = WriteSet { entries: vec![Entry::Change(change)], ..WriteSet::default() };
    pen::commit(store, Touch::default(), writes).await.expect("written");
}

/// Reading on after any position gives what was not read yet, and what changed meanwhile.
pub async fn a_snapshot_resumes_after_a_position(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("a", "u", 1), Do::Put("a", "v", 1), Do::Put("b", "w", 1), Do::Put("a", "x", 1)]).await;

    // The reader got `u` and `v` before its connection broke; then the space changed.
    write(&store, &[Do::Put("a", "u", 2), Do::Remove("a", "v"), Do::Remove("b", "w"), Do::Put("a", "new", 1)]).await;
    let rest = scan(&store, snapshot_after(2)).await.expect("readable");
    let missed = scan(&store, log_after(4)).await.expect("readable");

    assert_eq!(rest.words(), "4:x 5:u 8:new");
    assert_eq!(missed.words(), "5:u 6:-v 7:-w 8:new", "the first part's LSN heals what was read before");
}

/// A ticket is found by its number, and by nothing else.
pub async fn tickets_are_seen_by_nobody_else(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let head = write(&store, &[Do::Ticket("a"), Do::Put("a", "x", 1), Do::Ticket("a")]).await;

    assert_eq!((head.lsn, head.last_change), (Lsn(3), Lsn(2)));
    for invisible in [log_after(0), net_after("a", 0), snapshot_after(0)] {
        let heard = scan(&store, invisible).await.expect("readable");
        assert_eq!((heard.words().as_str(), heard.scanned.upto), ("2:x", Lsn(2)));
    }
    let found = scan(&store, Scan::Ticket { lsn: Lsn(3) }).await.expect("readable");
    let change = scan(&store, Scan::Ticket { lsn: Lsn(2) }).await.expect("readable");
    let absent = scan(&store, Scan::Ticket { lsn: Lsn(9) }).await.expect("readable");

    let ticket: Ticket = serde_json::from_str(&found.rows[0].body).expect("a ticket");
    assert_eq!((ticket.lsn, ticket.from, ticket.own), (Lsn(3), Lsn(1), vec![(Lsn(2), Lsn(3))]));
    assert_eq!((found.rows.len(), found.rows[0].collection.as_str()), (1, "a"));
    assert!(change.rows.is_empty() && absent.rows.is_empty());
}

/// A few documents among many, or a few live ones left of a long log, are all found, in order.
pub async fn scattered_documents_are_found(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &[Do::Put("few", "r", 1), Do::Put("few", "s", 1), Do::Put("few", "t", 1)]).await;
    write(&store, &vec![Do::Put("many", "same", 1); 6_000]).await;
    write(&store, &[Do::Put("few", "r", 2), Do::Remove("few", "s")]).await;

    let all = scan(&store, snapshot_after(0)).await.expect("readable");
    let rest = scan(&store, snapshot_after(3)).await.expect("readable");
    let net = scan(&store, net_after("few", 0)).await.expect("readable");
    let log = scan(&store, log_after(0)).await.expect("readable");

    assert_eq!(all.words(), "3:t 6003:same 6004:r");
    assert_eq!(rest.words(), "6003:same 6004:r");
    assert_eq!(net.words(), "3:t 6004:r 6005:-s");
    assert_eq!(log.rows.len(), 6_005);
    assert!(log.rows.iter().zip(1..).all(|(row, n)| row.lsn == Lsn(n)));
}

/// A reader that goes away ends its scan, not the store.
pub async fn a_scan_ends_when_nobody_listens(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    write(&store, &vec![Do::Put("a", "x", 1); 100_000 / 4]).await;
    let (out, chunks) = mpsc::channel(1);
    drop(chunks);

    let scanned = store.scan(&pen::space(), log_after(0), pen::deaf(), out).await.expect("no error");

    assert!(scanned.more);
    assert_eq!(scan(&store, log_after(24_999)).await.expect("readable").words(), "25000:x");
}
