//! Which columns go over, and how SQLite's files hold them. A database names them as they are called here, behind the
//! space.

/// What a column holds. Any may be null where both engines allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
}

use Kind::{Bytes, Number, Text};

/// A table of a space.
pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// Reads these columns from a file.
    pub from_sqlite: &'static str,
    /// Writes a row with them; later columns may be left out.
    pub into_sqlite: &'static str,
}

/// Where a space stands: one row.
pub(super) const STATE: &str = "spaces";
/// The names of collections, which a database does not keep apart.
pub(super) const COLLECTIONS: &str = "collections";

/// All of them, in the order in which they go over.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: STATE,
        columns: &[
            ("epoch", Text),
            ("lsn", Number),
            ("last_change", Number),
            ("horizon", Number),
            ("swept", Number),
            ("conflicts", Number),
            ("quarantined", Number),
            ("last_author", Number),
            ("last_conflict", Number),
            ("last_quarantined", Number),
            ("last_receipts", Number),
        ],
        from_sqlite: "SELECT epoch, lsn, last_change, horizon, swept, conflicts, quarantined,
                (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'authors'),
                (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'ledger'),
                (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'quarantine'),
                (SELECT coalesce(max(n), 0) FROM receipts)
            FROM state",
        into_sqlite: "INSERT INTO state (one, epoch, lsn, last_change, horizon, swept, conflicts, quarantined)
            VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    },
    Table {
        name: COLLECTIONS,
        columns: &[("name", Text)],
        from_sqlite: "SELECT name FROM collections ORDER BY cid",
        into_sqlite: "INSERT INTO collections VALUES ((SELECT coalesce(max(cid), 0) + 1 FROM collections), ?1)",
    },
    Table {
        name: "log",
        columns: &[
            ("lsn", Number),
            ("kind", Number),
            ("author", Number),
            ("at", Number),
            ("stamp", Number),
            ("created", Number),
            ("born", Number),
            ("flags", Number),
            ("expires", Number),
            ("collection", Text),
            ("id", Text),
            ("meta", Text),
            ("body", Text),
        ],
        from_sqlite:
            "SELECT l.lsn, l.kind, l.author, l.at, l.stamp, l.created, l.born, l.flags, l.expires, c.name, l.id,
                l.meta, l.body FROM log l CROSS JOIN collections c ON c.cid = l.cid ORDER BY l.lsn",
        into_sqlite:
            "INSERT INTO log (lsn, kind, author, at, stamp, created, born, flags, expires, cid, id, meta, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (SELECT cid FROM collections WHERE name = ?10), ?11, ?12, ?13)",
    },
    Table {
        name: "heads",
        columns: &[("collection", Text), ("id", Text), ("lsn", Number), ("expires", Number)],
        from_sqlite: "SELECT c.name, h.id, h.lsn, iif(l.kind = 0, l.expires, NULL) FROM heads h
            CROSS JOIN collections c ON c.cid = h.cid CROSS JOIN log l ON l.lsn = h.lsn",
        into_sqlite: "INSERT INTO heads (cid, id, lsn)
            VALUES ((SELECT cid FROM collections WHERE name = ?1), ?2, ?3)",
    },
    Table {
        name: "superseded",
        columns: &[("lsn", Number), ("until", Number)],
        from_sqlite: "SELECT lsn, until FROM superseded",
        into_sqlite: "INSERT INTO superseded VALUES (?1, ?2)",
    },
    Table {
        name: "unique_keys",
        columns: &[("n", Number), ("collection", Text), ("fields", Text)],
        from_sqlite: "SELECT k.n, c.name, k.fields FROM unique_keys k CROSS JOIN collections c ON c.cid = k.cid",
        into_sqlite: "INSERT INTO unique_keys (n, cid, fields)
            VALUES (?1, (SELECT cid FROM collections WHERE name = ?2), ?3)",
    },
    Table {
        name: "unique_values",
        columns: &[("n", Number), ("value", Text), ("since", Number), ("id", Text)],
        from_sqlite: "SELECT n, value, since, id FROM unique_values",
        into_sqlite: "INSERT INTO unique_values VALUES (?1, ?2, ?3, ?4)",
    },
    Table {
        name: "authors",
        columns: &[
            ("author", Number),
            ("node", Text),
            ("last_seq", Number),
            ("forgotten", Text),
            ("cursor", Number),
            ("seen_at", Number),
            ("owner", Text),
        ],
        from_sqlite: "SELECT author, node, last_seq, forgotten, cursor, seen_at, owner FROM authors",
        into_sqlite: "INSERT INTO authors (author, node, last_seq, forgotten, cursor, seen_at, owner)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    },
    Table {
        name: "batches",
        columns: &[("author", Number), ("id", Text), ("digest", Number), ("lsn", Number), ("at", Number)],
        from_sqlite: "SELECT author, id, digest, lsn, at FROM batches ORDER BY n",
        into_sqlite: "INSERT INTO batches (author, id, digest, lsn, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    },
    Table {
        name: "receipts",
        columns: &[
            ("n", Number),
            ("author", Number),
            ("first_seq", Number),
            ("last_seq", Number),
            ("at", Number),
            ("body", Text),
        ],
        from_sqlite: "SELECT n, author, first_seq, last_seq, at, body FROM receipts ORDER BY n",
        into_sqlite: "INSERT INTO receipts (n, author, first_seq, last_seq, at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    },
    Table {
        name: "seen",
        columns: &[("key", Bytes), ("at", Number)],
        from_sqlite: "SELECT key, at FROM seen",
        into_sqlite: "INSERT INTO seen VALUES (?1, ?2)",
    },
    Table {
        name: "nodes",
        columns: &[
            ("author", Number),
            ("id", Text),
            ("code", Text),
            ("name", Text),
            ("plan", Text),
            ("last_sync_in", Number),
            ("last_sync_out", Number),
            ("received_packet_no", Number),
            ("sent_packet_no", Number),
            ("issued_packet_no", Number),
            ("cursor", Number),
            ("fill", Text),
            ("sent", Text),
            ("last", Text),
            ("known", Text),
        ],
        from_sqlite:
            "SELECT author, id, code, name, plan, last_sync_in, last_sync_out, received_packet_no, sent_packet_no,
                issued_packet_no, cursor, fill, sent, last, known FROM nodes",
        into_sqlite: "INSERT INTO nodes (author, id, code, name, plan, last_sync_in, last_sync_out, received_packet_no,
                sent_packet_no, issued_packet_no, cursor, fill, sent, last, known)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    },
    Table {
        name: "held",
        columns: &[("author", Number), ("collection", Text), ("id", Text), ("since", Number), ("gone", Number)],
        from_sqlite: "SELECT h.author, c.name, h.id, h.since, h.gone FROM held h
            CROSS JOIN collections c ON c.cid = h.cid",
        into_sqlite: "INSERT INTO held (author, cid, id, since, gone)
            VALUES (?1, (SELECT cid FROM collections WHERE name = ?2), ?3, ?4, ?5)",
    },
    Table {
        name: "ledger",
        columns: &[
            ("n", Number),
            ("at", Number),
            ("collection", Text),
            ("id", Text),
            ("lsn", Number),
            ("rule", Text),
            ("winner", Number),
            ("loser", Number),
            ("losing_kind", Text),
            ("losing", Text),
            ("winning_kind", Text),
            ("winning", Text),
            ("restored", Number),
            ("late", Number),
        ],
        from_sqlite: "SELECT l.n, l.at, c.name, l.id, l.lsn, l.rule, l.winner, l.loser, l.losing_kind, l.losing,
                l.winning_kind, l.winning, l.restored, l.late
            FROM ledger l CROSS JOIN collections c ON c.cid = l.cid ORDER BY l.n",
        into_sqlite: "INSERT INTO ledger (n, at, cid, id, lsn, rule, winner, loser, losing_kind, losing, winning_kind,
                winning, restored, late)
            VALUES (?1, ?2, (SELECT cid FROM collections WHERE name = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                ?14)",
    },
    Table {
        name: "quarantine",
        columns: &[
            ("n", Number),
            ("at", Number),
            ("collection", Text),
            ("id", Text),
            ("node", Text),
            ("seq", Number),
            ("code", Text),
            ("reason", Bytes),
            ("op", Bytes),
        ],
        from_sqlite: "SELECT n, at, collection, id, node, seq, code, CAST(reason AS BLOB), CAST(op AS BLOB)
            FROM quarantine ORDER BY n",
        into_sqlite: "INSERT INTO quarantine (n, at, collection, id, node, seq, code, reason, op)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, CAST(?8 AS TEXT), CAST(?9 AS TEXT))",
    },
];
