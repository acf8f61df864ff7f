//! The database that workers share: whether hubs can write in it, whether there are connections for them, and what keeps
//! it from staying well.

use super::files::{disk, room_at};
use super::finding::Finding;
use crate::config::Config;
use crate::error::CliError;
use crate::hub::StorePlace;
use indicatif::{HumanBytes, HumanDuration};
use std::path::Path;
use syncline_server::store::{DatabaseFacts, Follower, LongTransaction, PostgresUrl, StoreError, examine_database};

/// PostgreSQL 13.
const VERSION_MIN: i64 = 130_000;
/// A replica that is so far behind would take long to take over.
const BEHIND_BYTES: u64 = 64 << 20;
/// A clock that is so far off is not kept by anything.
const CLOCK_MS: u64 = 2_000;

/// Looks at all of it; `true`: there is a hub in it that can be looked at.
pub async fn look(url: &PostgresUrl, config: &Config) -> (Vec<Finding>, bool) {
    let facts = match examine_database(url).await {
        Ok(facts) => facts,
        Err(error) => return (vec![Finding::failed("store", &error.into())], false),
    };
    let place = StorePlace::Database(url.clone()).to_string();
    let (mut findings, opens) = tables(&facts, &place);
    findings.extend(writing(&facts));
    findings.push(connections(&facts, config.size("postgres.connections") as u64));
    findings.extend(facts.long_transactions.iter().map(long_transaction));
    findings.extend(facts.replicas.iter().filter_map(behind));
    findings.extend(here(url, &facts).map(|room| disk(room, facts.bytes)));
    findings.push(clock(facts.clock_ahead_ms, config.number("limits.clock_drift_ms")));
    (findings, opens)
}

/// What stands in the database, and whether this program can use it.
fn tables(facts: &DatabaseFacts, place: &str) -> (Vec<Finding>, bool) {
    const CHECK: &str = "store";
    if facts.version_number < VERSION_MIN {
        let says = format!("{place} is PostgreSQL {}, and hubs need 13 or newer", facts.version);
        return (
            vec![Finding::wrong(CHECK, says, "upgrade the server (pg_upgrade), or name another one".into())],
            false,
        );
    }
    if !facts.forbidden.is_empty() {
        let says = format!("{place}: the user may not read and write {}", facts.forbidden.join(", "));
        let next = "let it own them, or GRANT USAGE ON SCHEMA syncline TO user; \
                    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA syncline TO user";
        return (vec![Finding::wrong(CHECK, says, next.into())], false);
    }
    if facts.schema > facts.newest_schema {
        let error = StoreError::NewerSchema {
            place: place.to_owned(),
            found: facts.schema.cast_signed(),
            known: facts.newest_schema.cast_signed(),
        };
        return (vec![Finding::failed(CHECK, &error.into())], false);
    }
    if facts.schema == 0 {
        let says = format!("{place}: PostgreSQL {}, and there is no hub in it", facts.version);
        let next = match facts.may_make_tables {
            true => "start a hub on it, or name the database of one",
            false => {
                "let the user make the tables (`GRANT CREATE ON DATABASE name TO user`), or name the database of a hub"
            }
        };
        return (vec![Finding::wrong(CHECK, says, next.into())], false);
    }
    let mut findings = Vec::new();
    if facts.schema < facts.newest_schema {
        let says =
            format!("{place} has schema {}, and this program brings it to {}", facts.schema, facts.newest_schema);
        let next =
            "back it up; the first hub of this version that starts changes it, and older ones then start no more";
        findings.push(Finding::look(CHECK, says, next.into()));
    }
    let opens = findings.is_empty();
    if opens {
        let says = format!("{place}: PostgreSQL {}, {} of data", facts.version, HumanBytes(facts.bytes));
        findings.push(Finding::fine(CHECK, says));
    }
    (findings, opens && !facts.read_only)
}

/// Whether what is accepted would be there after a crash, and whether anything is accepted at all.
fn writing(facts: &DatabaseFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.replica {
        let next = "name the primary in the store's URL; of several hosts (postgres://USER@one,two/NAME) the one that takes writes is used";
        findings.push(Finding::wrong("writing", "the server is a replica and takes no writes".into(), next.into()));
    } else if facts.read_only {
        let next = "make room if the disk is full, then ALTER DATABASE name SET default_transaction_read_only = off";
        let says = "the server takes no writes: default_transaction_read_only is on".to_owned();
        findings.push(Finding::wrong("writing", says, next.into()));
    }
    if let Some(setting) = facts.hasty {
        let says = format!("{setting} is off: what hubs have confirmed may be gone after a crash");
        findings.push(Finding::wrong("writing", says, format!("set {setting} = on")));
    }
    findings
}

/// Each worker takes its connections, and one to listen.
fn connections(facts: &DatabaseFacts, of_a_worker: u64) -> Finding {
    const CHECK: &str = "connections";
    let (most, free, needed) = (facts.connections_max, facts.connections_free, of_a_worker + 1);
    let says = format!(
        "{free} of {most} are free, hubs have {}; a worker opens up to {needed} (`postgres.connections`, and one to listen)",
        facts.connections_of_hubs
    );
    let next = "allow more by max_connections, or by the limits of the user and the database; or set postgres.connections lower";
    if most < needed || (facts.connections_of_hubs == 0 && free < needed) {
        Finding::wrong(CHECK, says, next.into())
    } else if free < needed {
        Finding::look(CHECK, format!("{says}; another worker finds no room"), next.into())
    } else {
        Finding::fine(CHECK, says)
    }
}

fn long_transaction(found: &LongTransaction) -> Finding {
    let LongTransaction { pid, who, open_for } = found;
    let says = format!("one of process {pid} ({who}) has been open for {}", HumanDuration(*open_for));
    let next = format!(
        "the server cleans nothing up behind it, and commits may wait for it: end it where it is, or SELECT pg_terminate_backend({pid})"
    );
    Finding::look("transactions", says, next)
}

fn behind(replica: &Follower) -> Option<Finding> {
    let Follower { name, state, behind_bytes } = replica;
    let says = format!("{name} ({state}) is {} behind", HumanBytes(*behind_bytes));
    let next = match state.as_str() {
        "inactive" => format!(
            "the server keeps its log for it until the disk is full: start its reader, or SELECT pg_drop_replication_slot('{name}')"
        ),
        _ => "what it lacks is lost if it takes over: see its network and disk".to_owned(),
    };
    (*behind_bytes > BEHIND_BYTES).then(|| Finding::look("replicas", says, next))
}

/// Bytes that are free where the server's files are, if that is on this machine.
fn here(url: &PostgresUrl, facts: &DatabaseFacts) -> Option<u64> {
    let directory = facts.directory.as_ref().filter(|_| url.is_local())?;
    room_at(Path::new(directory))
}

fn clock(ahead_ms: i64, drift_ms: u64) -> Finding {
    const CHECK: &str = "clock";
    let off = ahead_ms.unsigned_abs();
    let which = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let says = format!("the server's is {off} ms {which} this machine's");
    let next = "keep the clocks of all machines right (NTP): workers date edits by their own";
    match off {
        _ if off > drift_ms => Finding::wrong(CHECK, says, next.into()),
        CLOCK_MS.. => Finding::look(CHECK, says, next.into()),
        _ => Finding::fine(CHECK, "it agrees with the server's".into()),
    }
}

/// The configured database.
pub fn url(config: &Config) -> Result<Option<PostgresUrl>, CliError> {
    Ok(match StorePlace::of(config)? {
        StorePlace::Database(url) => Some(url),
        StorePlace::Directory(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn facts() -> DatabaseFacts {
        DatabaseFacts {
            version_number: VERSION_MIN,
            schema: 1,
            newest_schema: 1,
            connections_max: 97,
            ..DatabaseFacts::default()
        }
    }

    fn level(facts: &DatabaseFacts) -> Level {
        connections(facts, 16).level
    }

    #[test]
    fn connections_are_counted_for_the_worker_that_would_start_next() {
        assert_eq!(level(&DatabaseFacts { connections_free: 17, ..facts() }), Level::Fine);
        assert_eq!(level(&DatabaseFacts { connections_free: 16, ..facts() }), Level::Wrong);
        let beside = DatabaseFacts { connections_free: 16, connections_of_hubs: 17, ..facts() };
        assert_eq!(level(&beside), Level::Look);
        assert_eq!(level(&DatabaseFacts { connections_max: 16, connections_of_hubs: 5, ..facts() }), Level::Wrong);
    }

    #[test]
    fn a_schema_a_version_and_rights_that_do_not_fit_are_told_apart() {
        let says = |facts: DatabaseFacts| tables(&facts, "db").0.remove(0);
        assert_eq!(says(facts()).level, Level::Fine);
        let older = says(DatabaseFacts { newest_schema: 2, ..facts() });
        assert!(older.level == Level::Look && older.says.contains("schema 1"), "{}", older.says);
        assert!(says(DatabaseFacts { schema: 2, ..facts() }).says.contains("use a newer syncline"));
        assert!(says(DatabaseFacts { version_number: 120_019, ..facts() }).says.contains("13 or newer"));
        let empty = says(DatabaseFacts { schema: 0, ..facts() });
        assert!(empty.next.unwrap().contains("GRANT CREATE"));
        assert!(
            says(DatabaseFacts { forbidden: vec!["log".into()], ..facts() }).next.unwrap().contains("GRANT SELECT")
        );
    }

    #[test]
    fn what_lags_and_what_nobody_reads_is_named() {
        let replica = |state: &str, behind_bytes| Follower { name: "r".into(), state: state.into(), behind_bytes };
        assert!(behind(&replica("streaming", BEHIND_BYTES)).is_none());
        assert!(behind(&replica("streaming", BEHIND_BYTES + 1)).is_some());
        let slot = behind(&replica("inactive", u64::MAX)).unwrap();
        assert!(slot.next.unwrap().contains("pg_drop_replication_slot('r')"));
        assert_eq!(clock(-1_999, 60_000).level, Level::Fine);
        assert_eq!(clock(-2_000, 60_000).level, Level::Look);
        assert_eq!(clock(60_001, 60_000).level, Level::Wrong);
    }
}
