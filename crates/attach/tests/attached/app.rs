//! Applications with databases of their own, of whatever engine: most stories hold for all of them.

use crate::centre::{Centre, sync};
use crate::postgres::{Conversation, Postgres};
use rusqlite::Connection;
use rusqlite::types::Value as Held;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use syncline_attach::attachment::{Status, Taken};
use syncline_attach::{AttachError, Attachment, Mapping, Options};
use tempfile::TempDir;

/// Each story becomes a test on each engine.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $story() { super::$story($crate::app::Engine::Sqlite) })+
        }
        mod postgres {
            $(#[test] fn $story() { super::$story($crate::app::Engine::Postgres) })+
        }
    };
}
pub(crate) use on_both;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// What the two say differently.
    pub fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Engine::Sqlite => sqlite,
            Engine::Postgres => postgres,
        }
    }

    /// An application with these tables. `$KEY` is a primary key whose numbers the database gives, `$UUID` and `$TIME`
    /// are how applications usually keep such things.
    pub fn app(self, schema: &str, mapping: &str) -> App {
        let (key, time) = self.pick(("INTEGER PRIMARY KEY", "text"), ("bigserial PRIMARY KEY", "timestamptz"));
        let schema = schema.replace("$KEY", key).replace("$UUID", self.pick("char(36)", "uuid")).replace("$TIME", time);
        let place = Place::new(self);
        let app = App { session: RefCell::new(place.session()), place, mapping: mapping.into() };
        app.run(&schema);
        app
    }
}

/// An application and its database.
pub struct App {
    place: Place,
    session: RefCell<Session>,
    pub mapping: String,
}

enum Place {
    File(TempDir),
    /// A schema of the database that all share: a new one takes longer than most tests.
    Schema(String),
}

impl Place {
    fn new(engine: Engine) -> Place {
        static SCHEMAS: AtomicU32 = AtomicU32::new(0);
        match engine {
            Engine::Sqlite => Place::File(tempfile::tempdir().unwrap()),
            Engine::Postgres => {
                let name = format!("app{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
                Postgres::shared().run(database(), &format!("CREATE SCHEMA {name}"));
                Place::Schema(name)
            }
        }
    }

    fn session(&self) -> Session {
        match self {
            Place::File(dir) => {
                let conn = Connection::open(dir.path().join("app.db")).unwrap();
                conn.busy_timeout(Duration::from_secs(60)).unwrap();
                Session::File(conn)
            }
            Place::Schema(name) => {
                let mut session = Postgres::shared().transaction(database());
                // So that rows are shown as of a SQLite file.
                session.say("\\set ON_ERROR_STOP on\n\\pset null NULL");
                session.say(&format!("SET search_path = {name};"));
                Session::Server(session)
            }
        }
    }
}

fn database() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| Postgres::shared().database())
}

impl App {
    /// Where the database is: a file, or an address.
    pub fn place(&self) -> String {
        match &self.place {
            Place::File(dir) => dir.path().join("app.db").display().to_string(),
            Place::Schema(_) => self.place_of("syncline"),
        }
    }

    /// The address for another user of the server.
    pub fn place_of(&self, user: &str) -> String {
        format!("{}&options=-csearch_path%3D{}", Postgres::shared().url_as(user, database()), self.schema_name())
    }

    /// The schema of the server in which the tables are.
    pub fn schema_name(&self) -> &str {
        match &self.place {
            Place::Schema(name) => name,
            Place::File(_) => panic!("a file has no schemas"),
        }
    }

    /// What the application does.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.session.borrow_mut().run(sql);
    }

    /// The rows of a query, as the engine's own shell shows them.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.session.borrow_mut().rows(sql)
    }

    /// Another connection of the application.
    pub fn session(&self) -> Session {
        self.place.session()
    }

    pub fn open_with(&self, options: Options) -> Result<Attachment, AttachError> {
        Attachment::open(&self.place(), Mapping::parse(&self.mapping)?, options)
    }

    pub fn attach_with(&self, options: Options) -> Result<Attachment, AttachError> {
        let mut attached = self.open_with(options)?;
        attached.prepare()?;
        Ok(attached)
    }

    pub fn attach(&self) -> Result<Attachment, AttachError> {
        self.attach_with(Options::default())
    }

    /// Rounds until nothing is left to say.
    #[track_caller]
    pub fn sync(&self, centre: &Centre) -> Taken {
        sync(&mut self.attach().unwrap(), centre)
    }

    pub fn status(&self) -> Status {
        self.attach().unwrap().status().unwrap()
    }

    /// Everything that the database has beside rows.
    pub fn schema(&self) -> Vec<String> {
        match &self.place {
            Place::File(_) => self.rows("SELECT name, sql FROM sqlite_schema ORDER BY name"),
            Place::Schema(_) => self.rows(
                "WITH here AS (SELECT oid, relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
                 SELECT relname FROM here
                 UNION ALL SELECT tgname FROM pg_trigger JOIN here ON here.oid = tgrelid WHERE NOT tgisinternal
                 UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
                 UNION ALL SELECT relname || '.' || attname FROM pg_attribute JOIN here ON here.oid = attrelid
                   WHERE attnum > 0 AND NOT attisdropped ORDER BY 1",
            ),
        }
    }

    /// What of it is Syncline's.
    pub fn traces(&self) -> Vec<String> {
        self.schema().into_iter().filter(|name| name.starts_with("sync")).collect()
    }
}

/// An open connection of an application; what it has begun is rolled back when it goes.
pub enum Session {
    File(Connection),
    Server(Conversation),
}

impl Session {
    /// Returns when it is done.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        match self {
            Session::File(conn) => conn.execute_batch(sql).unwrap(),
            Session::Server(_) => drop(self.rows(sql)),
        }
    }

    /// The rows of a query.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<String> {
        match self {
            Session::File(conn) => rows(conn, sql),
            Session::Server(session) => {
                session.say(&format!("{sql}\n;SELECT '-- done';"));
                session.lines_until("-- done")
            }
        }
    }
}

fn rows(conn: &Connection, sql: &str) -> Vec<String> {
    let mut find = conn.prepare(sql).unwrap();
    let width = find.column_count();
    let rows = find.query_map([], |row| {
        let cells = (0..width).map(|n| row.get::<_, Held>(n).map(shown));
        Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn shown(value: Held) -> String {
    match value {
        Held::Null => "NULL".into(),
        Held::Integer(number) => number.to_string(),
        Held::Real(number) => format!("{number:?}"),
        Held::Text(text) => text,
        Held::Blob(bytes) => format!("x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}
