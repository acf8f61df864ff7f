//! A Redis of a test's own: a real `redis-server` on a socket file, with a password, that can be stopped and started.

use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, IntoConnectionInfo};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use syncline_server::{RedisAddress, RedisOptions};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

pub const PASSWORD: &str = "swordfish-of-redis";
pub const DB: i64 = 3;

pub struct Redis {
    dir: TempDir,
    child: Option<Child>,
}

impl Redis {
    pub async fn start() -> Redis {
        let mut redis = Redis { dir: TempDir::new().unwrap(), child: None };
        redis.start_again().await;
        redis
    }

    pub async fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--databases", "4"])
            .args(["--requirepass", PASSWORD])
            .arg("--unixsocket")
            .arg(self.socket())
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server runs; `cargo xtask setup` installs it"));
        let answers = async {
            while self.try_connect().await.is_err() {
                sleep(Duration::from_millis(10)).await; // sleep: until another program listens
            }
        };
        timeout(Duration::from_secs(20), answers).await.expect("redis-server answers");
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn options(&self) -> RedisOptions {
        RedisOptions {
            password: Some(PASSWORD.to_owned()),
            db: DB,
            ..RedisOptions::at(RedisAddress::Unix(self.socket()))
        }
    }

    /// Says something on a channel and tells how many listened.
    pub async fn publish(&self, channel: &str, payload: impl AsRef<[u8]>) -> i64 {
        let mut connection = self.try_connect().await.unwrap();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(channel).arg(payload.as_ref()).query_async(&mut connection).await.unwrap()
    }

    /// What Redis says of those who are connected.
    pub async fn clients(&self) -> String {
        let mut connection = self.try_connect().await.unwrap();
        redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await.unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let info = ConnectionAddr::Unix(self.socket()).into_connection_info()?;
        let settings = info.redis_settings().clone().set_password(PASSWORD);
        redis::Client::open(info.set_redis_settings(settings))?.get_multiplexed_async_connection().await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
