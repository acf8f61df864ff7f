//! Every key of the configuration: its name, what it takes, its default and what it is for. The
//! file, the variables, the flags, `syncline config` and the error messages all read this table,
//! so a key that is not here exists nowhere.

use syncline_core::model::Limits;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A file or directory; relative ones start at the working directory.
    Path,
    /// The name of a space or collection.
    Name,
    /// A whole number above zero.
    Count,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Switch,
    /// Bytes: a whole number, or text such as `64 MiB`.
    Bytes,
    /// Milliseconds: a whole number, or text such as `15s`.
    Millis,
    /// A duration with its unit: `15s`, `90d`.
    Duration,
    /// A depth that every reader can follow.
    Depth,
    /// A list of texts; in variables and flags with commas between.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What an error message says that the key takes.
    pub fn expectation(self) -> String {
        match self {
            Kind::Text | Kind::Secret => "a text that is not empty (in a file in quotes)".into(),
            Kind::Path => "a path (in a file in quotes)".into(),
            Kind::Name => "a name (letters, digits, `_`, `-`, `.`; at most 128 bytes; not starting with `.`)".into(),
            Kind::Count => "a whole number above zero".into(),
            Kind::Whole => "a whole number, 0 or more".into(),
            Kind::Switch => "true or false".into(),
            Kind::Depth => format!("a whole number from 1 to {}", Limits::DEPTH_MAX),
            Kind::Bytes => "a number of bytes, e.g. 1048576 or \"1 MiB\"".into(),
            Kind::Millis => "a number of milliseconds, e.g. 15000 or \"15s\"".into(),
            Kind::Duration => "a duration in quotes with its unit (ms, s, m, h, d, w), e.g. \"15s\" or \"90d\"".into(),
            Kind::List => "a list of texts, e.g. [\"a\", \"b\"], in variables and flags also a,b".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name, with its table: `limits.page_changes`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its value when nothing sets it; empty: unset.
    pub default: &'static str,
    /// One sentence for a person.
    pub about: &'static str,
}

impl Key {
    /// `SYNCLINE_` and the name in capitals: `SYNCLINE_LIMITS_PAGE_CHANGES`.
    pub fn variable(&self) -> String {
        format!("SYNCLINE_{}", self.name.replace('.', "_").to_uppercase())
    }
}

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

/// Levels of the log.
pub const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// What becomes of entities of unknown types.
pub const UNKNOWN_TYPES: &[&str] = &["quarantine", "refuse"];

/// What a token may do.
pub const ACCESS: &[&str] = &["read", "write", "read-write", "admin"];

/// The keys that stand once, in the order of `syncline config`.
pub const KEYS: &[Key] = &[
    key("data", Kind::Path, "./syncline-data", "The directory that holds the hub's store."),
    key(
        "store",
        Kind::Secret,
        "",
        "A PostgreSQL database that holds the store instead: postgres://USER:PASSWORD@HOST:5432/DATABASE.",
    ),
    key("postgres.password_file", Kind::Path, "", "A file that holds the password, which the URL then leaves out."),
    key(
        "postgres.replica",
        Kind::Secret,
        "",
        "A streaming replica of that database, which serves long readings where it has come as far.",
    ),
    key("postgres.connections", Kind::Count, "16", "Connections of one worker; a quarter of them is for commits."),
    key(
        "listen",
        Kind::Text,
        "127.0.0.1:7460",
        "Address and port that the hub listens on, port 0 picks a free one; or unix:PATH, a socket file.",
    ),
    key("space", Kind::Name, "main", "The space of requests that name none."),
    key("collection", Kind::Name, "default", "The collection of bare /sync/… paths whose token names none."),
    key("admin_token", Kind::Secret, "", "An admin token of at least 16 characters, valid while it is configured."),
    key("admin_token_file", Kind::Path, "", "A file that holds such an admin token."),
    key("tls.cert", Kind::Path, "", "Certificate chain (PEM); with tls.key the hub speaks HTTPS."),
    key("tls.key", Kind::Path, "", "Private key of the certificate (PEM)."),
    key("cors.origins", Kind::List, "", "Origins whose pages may call the hub; \"*\" allows all."),
    key("metrics.access", Kind::Choice(&["open", "token"]), "open", "Whether /metrics needs an admin token."),
    key(
        "exchange.hub_id",
        Kind::Text,
        "00000000-0000-4000-8000-000000000000",
        "The UUID by which registered nodes address the hub.",
    ),
    key("exchange.schema_version", Kind::Text, "1.0.0", "Version of the data; packets of the same major are taken."),
    key("exchange.types", Kind::List, "", "Types that nodes exchange whose plan names none; all when empty."),
    key(
        "exchange.unknown_types",
        Kind::Choice(UNKNOWN_TYPES),
        "quarantine",
        "An entity of another type is set aside, or its packet refused.",
    ),
    key("live.connections", Kind::Count, "10000", "Open live connections; further ones are asked to try again."),
    key("live.message_bytes", Kind::Bytes, "64 MiB", "Bytes of one message of a live client."),
    key("live.events_per_second", Kind::Count, "5000", "Messages of one live connection in a second."),
    key("live.joins", Kind::Count, "100", "Rooms that one live connection may be in."),
    key("live.queued_messages", Kind::Count, "1000", "Messages that wait for one live connection."),
    key("live.ping_interval", Kind::Duration, "10s", "Between two signs of life of a live connection."),
    key("live.ping_timeout", Kind::Duration, "5s", "A live connection that leaves one unanswered is closed."),
    key(
        "live.client_retention",
        Kind::Duration,
        "30d",
        "A client of event sync that was silent for longer begins anew when it comes back.",
    ),
    key(
        "rooms.anonymous",
        Kind::Switch,
        "false",
        "Whether pages without a token are let in, to rooms of the default space that need no grant.",
    ),
    key("rooms.idle_seconds", Kind::Count, "30", "After so long without an event a page refreshes by itself."),
    key("rooms.debounce", Kind::Duration, "200ms", "Soft refreshes of a room within this time are told as one."),
    key("rooms.event_bytes", Kind::Bytes, "64 KiB", "Bytes of the data of one event."),
    key("rooms.queued_events", Kind::Count, "4096", "Events that wait for their delivery."),
    key("redis.url", Kind::Secret, "", "The Redis between several workers: redis://:PASSWORD@HOST:6379/0."),
    key("redis.socket", Kind::Path, "", "The socket file of that Redis, instead of a URL."),
    key("redis.host", Kind::Text, "", "The host of that Redis, instead of a URL."),
    key("redis.port", Kind::Count, "6379", "Its port."),
    key("redis.username", Kind::Text, "", "The user of its access lists."),
    key("redis.password", Kind::Secret, "", "Its password."),
    key("redis.password_file", Kind::Path, "", "A file that holds its password."),
    key("redis.db", Kind::Whole, "0", "Its database."),
    key("redis.channel", Kind::Text, "syncline", "How the names of the hub's own channels begin."),
    key("redis.emitters", Kind::List, "python,node", "Emitters of other back ends whose events are passed on."),
    key("redis.python_channel", Kind::Text, "socketio", "The channel of python-socketio."),
    key("redis.node_channel", Kind::Text, "socket.io", "How the channels of the Node emitter begin."),
    key("redis.queued_messages", Kind::Count, "10000", "Messages that wait to be published; further ones are dropped."),
    key(
        "auth.jwt.algorithms",
        Kind::List,
        "",
        "How signed tokens may be signed: HS256, RS256, ES256; none are taken when empty.",
    ),
    key("auth.jwt.secret_file", Kind::Path, "", "A file that holds the secret of HS256."),
    key("auth.jwt.public_key_file", Kind::Path, "", "A public key of RS256 or ES256 in PEM form."),
    key("auth.jwt.jwks_file", Kind::Path, "", "A file with a JSON Web Key Set."),
    key("auth.jwt.jwks_url", Kind::Text, "", "The https address of one."),
    key("auth.jwt.issuer", Kind::Text, "", "What `iss` of a signed token must be."),
    key("auth.jwt.audience", Kind::Text, "", "What must be among `aud` of a signed token."),
    key("auth.jwt.leeway", Kind::Duration, "30s", "By how much the signer's clock may differ."),
    key("auth.jwt.jwks_refresh", Kind::Duration, "15m", "At this age a key set is read again."),
    key("auth.jwt.jwks_keep", Kind::Duration, "24h", "How long a key set counts while it cannot be read again."),
    key("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines look."),
    key("log.level", Kind::Choice(LEVELS), "info", "The least important log lines that are written."),
    key("limits.body_bytes", Kind::Bytes, "64 MiB", "Bytes of a request body."),
    key("limits.batch_ops", Kind::Count, "10000", "Ops in one push."),
    key("limits.document_bytes", Kind::Bytes, "16 MiB", "Bytes of one document as JSON text."),
    key("limits.depth", Kind::Depth, "64", "Nesting of objects and arrays in one document."),
    key("limits.page_changes", Kind::Count, "1000", "Changes in one page of a pull."),
    key("limits.page_bytes", Kind::Bytes, "4 MiB", "Bytes of one page of a pull."),
    key("limits.clock_drift_ms", Kind::Millis, "60s", "How far ahead of the hub's clock an edit may be dated."),
    key("limits.connections", Kind::Count, "10000", "Open connections; further ones are closed at once."),
    key("limits.requests", Kind::Count, "1024", "Pushes, pages and snapshots in work at once."),
    key("limits.space_requests", Kind::Count, "768", "The same of one space."),
    key("limits.token_requests", Kind::Count, "768", "The same of one token."),
    key("limits.waiting_polls", Kind::Count, "10000", "Pulls that wait for a change at once."),
    key("limits.space_polls", Kind::Count, "7500", "The same of one space."),
    key("limits.node_packets", Kind::Count, "4", "Packets of a registered node that wait for the one in work."),
    key("limits.reading_nodes", Kind::Count, "100000", "Nodes whose cursors are noted although they never push."),
    key("limits.inflight_body_bytes", Kind::Bytes, "512 MiB", "Bytes of request bodies in memory at once."),
    key("limits.space_body_bytes", Kind::Bytes, "384 MiB", "The same of one space."),
    key("limits.queued_pushes", Kind::Count, "1024", "Pushes that wait for their commit, per space."),
    key("limits.group_pushes", Kind::Count, "64", "Pushes that share one commit."),
    key("limits.group_ops", Kind::Count, "4000", "Ops after which a commit takes no further push."),
    key("limits.open_spaces", Kind::Count, "128", "Spaces whose files are open at once."),
    key(
        "limits.space_idle",
        Kind::Duration,
        "60s",
        "A space that nobody has used for so long is closed until somebody does.",
    ),
    key("limits.wait", Kind::Duration, "60s", "Longest time that a pull waits for a change."),
    key("limits.request_timeout", Kind::Duration, "15s", "From the complete body of a push to its reply."),
    key("limits.body_idle", Kind::Duration, "15s", "Longest pause inside a request body."),
    key("limits.body_timeout", Kind::Duration, "10m", "Longest time that a request body may take to arrive."),
    key("limits.reader_stall", Kind::Duration, "30s", "A reader that takes nothing for so long is cut off."),
    key("limits.header_timeout", Kind::Duration, "75s", "Until a request's headers are there, idle time included."),
    key("limits.shutdown_grace", Kind::Duration, "30s", "How long a stop waits for accepted requests."),
    key("retention.log", Kind::Duration, "90d", "How long superseded changes and tombstones are kept."),
    key("retention.receipts", Kind::Duration, "90d", "How long receipts are kept to answer repeats."),
    key("retention.ledger", Kind::Duration, "365d", "How long rows of the conflict ledger are kept."),
    key("retention.quarantine", Kind::Duration, "365d", "How long rows of the hub's quarantine are kept."),
    key("retention.nodes", Kind::Duration, "90d", "A node that is silent for longer holds nothing back."),
    key("retention.trim_every", Kind::Duration, "1h", "Pause between two rounds of trimming."),
    key(
        "retention.look_every",
        Kind::Duration,
        "1d",
        "From one look at all that is stored to the next: what has gone bad on the disk is then told, read or not.",
    ),
    key("hub", Kind::Text, "", "URL of the hub that commands talk to, e.g. http://127.0.0.1:7460."),
    key("token", Kind::Secret, "", "The token that commands show to the hub."),
    key("client.batch", Kind::Count, "100", "Ops that `db sync` pushes at once."),
    key("client.interval", Kind::Duration, "5s", "Pause of `db sync --watch` between rounds after activity."),
    key("client.max_interval", Kind::Duration, "60s", "Longest pause of `db sync --watch` between idle rounds."),
    key("client.heartbeat", Kind::Duration, "30s", "Silence after which `db sync --watch` checks the hub's health."),
];

const ROWS: &str = "Of which collections it opens only some documents: a JSON object with a filter for each.";

/// The keys of one `[[tokens]]` entry.
pub const TOKEN_KEYS: &[Key] = &[
    key("name", Kind::Text, "", "The token's name."),
    key("secret", Kind::Secret, "", "The token itself."),
    key("secret_file", Kind::Path, "", "A file that holds the token itself."),
    key("access", Kind::Choice(ACCESS), "read-write", "What it may do; admin includes reading and writing."),
    key(
        "space",
        Kind::Text,
        "",
        "The space that it opens, \"*\" for every one; the default space, for an admin every one.",
    ),
    key("collections", Kind::List, "", "The collections it may use; all when it names none."),
    key("collection", Kind::Name, "", "Its collection on bare /sync/… paths."),
    key("emit", Kind::Switch, "false", "Whether it may publish events to rooms."),
    key("rooms", Kind::List, "", "The rooms that it opens; all that need no grant when it names none."),
    key("rows", Kind::Text, "", ROWS),
    key("read_rows", Kind::Text, "", "The same for reading, where that differs from `rows`."),
    key("write_rows", Kind::Text, "", "The same for writing, where that differs from `rows`."),
    key("claims", Kind::List, "", "What \"$NAME\" stands for in `rows`, as NAME=VALUE; \"$sub\" is the token's name."),
    key("node", Kind::Text, "", "The one node that may use it."),
    key("expires", Kind::Text, "", "When it ends, e.g. \"2027-01-31T00:00:00Z\"."),
];

/// The keys of one `[[auth.jwt.grants]]` entry.
pub const GRANT_KEYS: &[Key] = &[
    key("name", Kind::Text, "", "What messages call it."),
    key("when", Kind::Text, "{}", "A filter over the claims, as JSON; the first grant that fits counts."),
    key("access", Kind::Choice(ACCESS), "read-write", "What it opens; admin includes reading and writing."),
    key("space", Kind::Text, "", "The space, \"*\" for every one, or \"$NAME\" for the one that a claim names."),
    key("collections", Kind::List, "", "The collections; all when it names none."),
    key("collection", Kind::Name, "", "The collection on bare /sync/… paths."),
    key("emit", Kind::Switch, "false", "Whether events may be published to rooms."),
    key("rooms", Kind::List, "", "The rooms; all that need no grant when it names none."),
    key("rows", Kind::Text, "", ROWS),
    key("read_rows", Kind::Text, "", "The same for reading, where that differs from `rows`."),
    key("write_rows", Kind::Text, "", "The same for writing, where that differs from `rows`."),
];

/// The keys of one `[[collections]]` entry.
pub const COLLECTION_KEYS: &[Key] = &[
    key("name", Kind::Name, "", "The collection's name."),
    key("space", Kind::Name, "", "Its space; the default space when it names none."),
    key(
        "strategy",
        Kind::Choice(&["last-write-wins", "server-wins", "client-wins", "merge"]),
        "",
        "How concurrent edits are decided.",
    ),
    key("unique", Kind::List, "", "Fields whose values no two documents share; \"a,b\" means both together."),
    key("schema", Kind::Path, "", "A file with the JSON Schema of its documents."),
    key("max_bytes", Kind::Bytes, "", "Bytes that one of its documents may have as JSON text."),
    key("retention", Kind::Duration, "", "Documents that nobody has changed for so long are removed."),
];

/// The keys of one `[[rooms.room]]` entry.
pub const ROOM_KEYS: &[Key] = &[
    key("name", Kind::Text, "", "The room's name: a-z, 0-9, _ and -."),
    key("grant", Kind::Switch, "false", "Whether only tokens that name the room open it."),
    key("collections", Kind::List, "", "Collections whose changes are told there; the one of its name by default."),
    key("refresh_on", Kind::List, "", "Events that softly refresh it as well."),
];

/// The known name that is most like `wrong`, when one is alike at all.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, name)| *distance * 2 <= name.chars().count().max(4))
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or exchanged to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in to.iter().enumerate() {
            let exchange = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = exchange.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_and_a_strange_one_has_none() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("limits.page_change", names()), Some("limits.page_changes"));
        assert_eq!(nearest("lisen", names()), Some("listen"));
        assert_eq!(nearest("xylophone_orchestra", names()), None);
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in
            KEYS.iter().chain(TOKEN_KEYS).chain(COLLECTION_KEYS).chain(ROOM_KEYS).filter(|key| !key.default.is_empty())
        {
            assert!(super::super::value::read(key.kind, key.default).is_some(), "{}", key.name);
        }
    }
}
