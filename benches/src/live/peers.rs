//! The servers of this part as processes: hubs, npm socket.io, NebulaDB's own server where it is at
//! hand, and Redis between two workers.

use crate::hub::REDIS_PORT;
use crate::process::Server;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What is installed for the peer, as its users install it.
const PACKAGES: [&str; 3] = ["socket.io@4.8.4", "@socket.io/redis-adapter@8.3.0", "redis@5.8.2"];

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// The hub, durable as always.
    Hub,
    /// npm socket.io on Node.
    SocketIo,
    /// NebulaDB's own sync server on Node.
    NebulaDb,
}

/// How peers are started.
pub(super) struct Peers {
    modules: PathBuf,
    nebuladb: Option<String>,
}

/// A server with its directory.
pub(super) struct Running {
    /// The process.
    pub server: Server,
    _dir: TempDir,
}

impl Peers {
    /// Whether node and npm are here.
    pub fn runnable() -> bool {
        ["node", "npm"].iter().all(|program| {
            Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        })
    }

    /// Installs npm socket.io below `target/` unless it is there.
    ///
    /// # Errors
    /// When node and npm are missing, or cannot fetch it.
    pub fn install() -> Result<Peers, Box<dyn Error>> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("the benchmarks run from nowhere")?;
        let modules = target.join("bench-peers").join("socketio");
        if !modules.join("node_modules").join("socket.io").exists() {
            std::fs::create_dir_all(&modules)?;
            std::fs::write(modules.join("package.json"), r#"{"private":true}"#)?;
            eprintln!("  installing {} into {}", PACKAGES.join(", "), modules.display());
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund"]).args(PACKAGES).current_dir(&modules);
            let status = npm.stdout(Stdio::null()).status();
            if !status.map_err(|error| format!("this part needs node and npm: {error}"))?.success() {
                return Err("npm could not install socket.io, the peer of this part".into());
            }
        }
        Ok(Peers { modules, nebuladb: std::env::var("NEBULA_SERVER_JS").ok() })
    }

    /// Whether NebulaDB's server is at hand.
    pub fn have_nebuladb(&self) -> bool {
        self.nebuladb.is_some()
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, who: Who, redis: Option<&Redis>) -> Result<Running, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = match who {
            Who::Hub => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("serve-hub").arg(dir.path());
                command
            }
            Who::SocketIo => {
                let mut command = Command::new("node");
                command.arg(scripts.join("socketio.mjs")).env("PEER_MODULES", &self.modules);
                command
            }
            Who::NebulaDb => {
                let mut command = Command::new("node");
                command.arg(scripts.join("nebuladb.mjs"));
                command.env("NEBULA_SERVER_JS", self.nebuladb.as_deref().unwrap_or_default());
                command
            }
        };
        match redis {
            Some(redis) => command.env(REDIS_PORT, redis.port.to_string()),
            None => command.env_remove(REDIS_PORT),
        };
        Ok(Running { server: Server::spawn(&mut command)?, _dir: dir })
    }
}

/// A Redis server of this run.
pub(crate) struct Redis {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Redis {
    /// Starts it; none when the machine has none.
    ///
    /// # Errors
    /// When it does not accept connections.
    pub fn start() -> Result<Option<Redis>, Box<dyn Error>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let arguments = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let Ok(child) = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn() else {
            return Ok(None);
        };
        let (redis, began) = (Redis { child, port }, Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(redis))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
