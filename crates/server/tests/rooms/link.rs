//! What is wrong with a Redis, and that nobody waits for it.

use super::{changed, heard, page};
use crate::support::Hub;
use crate::support::redis::{PASSWORD, Redis};
use std::time::Duration;
use syncline_server::redis::examine;
use syncline_server::{RedisAddress, RedisOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Where somebody gives the same answer to everything.
async fn somebody_who_says(answer: &'static [u8]) -> RedisOptions {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4 << 10];
                while let Ok(n @ 1..) = stream.read(&mut asked).await {
                    // Each command begins with the number of its words.
                    let commands = asked[..n].windows(2).filter(|two| two[0] == b'*' && two[1].is_ascii_digit());
                    stream.write_all(&answer.repeat(commands.count().max(1))).await.unwrap_or_default();
                }
            });
        }
    });
    RedisOptions::at(RedisAddress::Tcp("127.0.0.1".to_owned(), port))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_redis_is_named_with_what_to_do_and_nobody_waits_for_it() {
    let redis = Redis::start().await;
    let right = redis.options();
    let facts = examine(&right).await.unwrap();
    assert!(facts.version.is_some() && facts.listeners == Some(0), "{facts:?}");
    let with_password = |options| RedisOptions { password: Some(PASSWORD.to_owned()), ..options };
    for (wrong, says) in [
        (RedisOptions { password: Some("not-the-password".to_owned()), ..right.clone() }, "redis.password_file"),
        (RedisOptions { password: None, ..right.clone() }, "redis.password_file"),
        (RedisOptions { username: Some("nobody".to_owned()), ..right.clone() }, "redis.username"),
        (RedisOptions { db: 99, ..right.clone() }, "redis.db"),
        (RedisOptions::from_url("redis://127.0.0.1:1").unwrap(), "see that it runs"),
        (RedisOptions::from_url("unix:///nowhere/redis.sock").unwrap(), "see that it runs"),
        (somebody_who_says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, "does not speak as Redis does"),
        (with_password(somebody_who_says(b"\0\xff\xfegarbage\r\n").await), "does not speak as Redis does"),
        (somebody_who_says(b"*99999999999999999999\r\n").await, "does not speak as Redis does"),
        (somebody_who_says(b"-ERR unknown command\r\n").await, "version 2.8"),
        (somebody_who_says(b"-LOADING Redis is loading the dataset in memory\r\n").await, "goes on by itself"),
        (somebody_who_says(b"-NOPERM this user has no permissions\r\n").await, "ACL SETUSER"),
    ] {
        let said = examine(&wrong).await.unwrap_err();
        assert!(said.contains(says), "{says}: {said}");
        assert!(!said.contains(PASSWORD) && !said.contains("not-the-password"), "{said}");

        let hub = Hub::with(|options| options.redis = Some(wrong)).await;
        let mut files = page(&hub, "files").await;
        let seq = changed(&hub, "files").await;
        assert_eq!(heard(&mut files).await.1["seq"], seq, "{says}");
        assert_eq!(hub.get("/health/ready").await.status, 200, "{says}");
        assert!(hub.get("/metrics").await.text().contains("syncline_redis_up 0"), "{says}");
        timeout(Duration::from_secs(20), hub.shut_down()).await.expect("it goes down without Redis");
    }
}
