//! HTTPS, with a certificate of a test authority.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::Hub;
use syncline_server::store::MemoryStore;
use syncline_server::{Options, Server, ServerError, TlsFiles};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn get_over_tls(addr: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(data("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(addr).unwrap());
    stream.write_all(b"GET /sync/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    // The hub may close the socket without a TLS farewell once the reply is complete.
    drop(stream.read_to_string(&mut reply));
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_with_a_certificate_speaks_https() {
    let files = TlsFiles { cert: data("hub.pem"), key: data("hub.key.pem") };
    let hub = Hub::with(|options| options.tls = Some(files)).await;
    let addr = hub.addr.clone();
    let reply = tokio::task::spawn_blocking(move || get_over_tls(&addr)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains(r#""status":"ok""#), "{reply}");
    hub.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_there_is_named() {
    let files = TlsFiles { cert: data("nowhere.pem"), key: data("hub.key.pem") };
    let options = Options { listen: "127.0.0.1:0".to_owned(), tls: Some(files), ..Options::default() };
    let error: ServerError = Server::bind(Arc::new(MemoryStore::default()), options).await.err().unwrap();
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
}
