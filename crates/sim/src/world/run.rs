//! One world from its beginning to its end: made, lived, healed, lived on until it rests, and checked.

use super::bug::Bug;
use super::check::{self, Report};
use super::story::{self, Place};
use super::{BEGINNING, REST_MS, TROUBLE_MS, World, trouble, twice, watch};

/// A kind of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two or three devices on a bad network, restarts of both sides.
    Devices,
    /// The same for longer, and harder: disks that are full, devices that sleep, batches composed anew, a hub that is
    /// restored from a backup or forgets what is old, people who restore, retry and discard, crashes while something is
    /// stored, a clock far ahead.
    Troubles,
    /// The same with a device whose database is copied to another one: two databases are one node.
    Copies,
    /// Nodes that exchange packets, through the hub's real router, beside devices.
    Packets,
    /// Models of WiseJSON clients with their habits, through the hub's real router.
    Foreign,
    /// Models of NebulaDB's plugin with their habits, through the hub's real router, beside a WiseJSON client.
    Live,
    /// Devices through the hub's real router, where collections have rules and tokens open some rows only.
    Rows,
    /// Databases of the client library that exchange packets, beside devices and other nodes.
    Databases,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] = [
        Kind::Devices,
        Kind::Troubles,
        Kind::Copies,
        Kind::Rows,
        Kind::Foreign,
        Kind::Live,
        Kind::Packets,
        Kind::Databases,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Devices => "devices",
            Kind::Troubles => "troubles",
            Kind::Copies => "copies",
            Kind::Foreign => "foreign",
            Kind::Live => "live",
            Kind::Rows => "rows",
            Kind::Packets => "packets",
            Kind::Databases => "databases",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A world to run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Of which kind.
    pub kind: Kind,
    /// Its number: the same one gives the same history.
    pub seed: u64,
    /// What is planted in it.
    pub bug: Option<Bug>,
    /// Tell all of a history, at any length.
    pub full: bool,
}

impl Run {
    /// A world without a planted bug.
    #[must_use]
    pub fn of(kind: Kind, seed: u64) -> Run {
        Run { kind, seed, bug: None, full: false }
    }

    /// The same with a planted bug.
    #[must_use]
    pub fn with(self, bug: Bug) -> Run {
        Run { bug: Some(bug), ..self }
    }

    /// Runs the world to its end and checks it.
    ///
    /// # Errors
    /// The story of the promise that was broken.
    pub fn play(self) -> Result<Report, String> {
        self.with_history().0
    }

    /// Runs the world twice: a seed that gives another history when it is played again explains nothing.
    ///
    /// # Errors
    /// The same, or where the two histories part.
    pub fn play_twice(self) -> Result<Report, String> {
        let ((report, first), (_, again)) = (self.with_history(), self.with_history());
        match twice::parted(&first, &again) {
            Some(where_) => Err(format!("world `{}`, seed {}: {where_}", self.kind.name(), self.seed)),
            None => report,
        }
    }

    fn with_history(self) -> (Result<Report, String>, Vec<String>) {
        let Run { kind, seed, bug, .. } = self;
        match kind {
            Kind::Devices => self.live(World::of_devices(seed, bug), TROUBLE_MS),
            Kind::Troubles => self.live(World::of_troubles(seed, bug), trouble::TROUBLE_MS),
            Kind::Copies => self.live(World::of_copies(seed, bug), trouble::TROUBLE_MS),
            Kind::Foreign => self.live(World::of_foreign(seed, bug), TROUBLE_MS),
            Kind::Rows => self.live(World::of_rows(seed, bug), TROUBLE_MS),
            Kind::Live => self.live(World::of_live(seed, bug), TROUBLE_MS),
            Kind::Packets => self.live(World::of_packets(seed, bug), TROUBLE_MS),
            Kind::Databases => self.live(World::of_databases(seed, bug), TROUBLE_MS),
        }
    }

    fn live(self, mut world: World, trouble_ms: u64) -> (Result<Report, String>, Vec<String>) {
        world.live(BEGINNING + trouble_ms);
        world.heal();
        world.live(BEGINNING + trouble_ms + REST_MS);
        let mut problems = std::mem::take(&mut world.problems);
        problems.extend(check::all(&world.hub, &world.devices));
        if world.tickets.is_empty() {
            problems.extend(check::convergence(&world.hub, &mut world.devices));
        } else {
            problems.extend(world.rows_at_rest());
        }
        problems.extend(world.promises.durable(&world.hub));
        problems.extend(world.promises.effects(&world.hub));
        if !world.nodes.is_empty() {
            let written = world.nodes.iter().map(|node| node.written().collect());
            problems.extend(check::nothing_lost(&world.hub, "node", written));
            problems.extend(watch::at_rest(&world.hub, &world.nodes));
        }
        if !world.clients.is_empty() {
            problems.extend(world.clients_at_rest());
        }
        if !world.seats.is_empty() {
            problems.extend(world.seats_at_rest());
            problems.append(&mut world.problems);
        }
        if problems.is_empty() {
            return (Ok(check::report(&world.hub, &world.devices)), world.history);
        }
        let place = Place { world: self.kind.name(), seed: self.seed, bug: self.bug.map(Bug::name), full: self.full };
        (Err(story::tell(&place, &problems, &world.history)), world.history)
    }
}
