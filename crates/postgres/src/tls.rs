//! The way to the database by TLS: whom to believe.

use super::error::UrlError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::Socket;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the signers are kept that PostgreSQL's tools would ask as `sslrootcert=system`.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How the other side is to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// Not at all.
    Nothing,
    /// By who signed its certificate.
    Signer,
    /// By that and its name.
    Name,
}

/// Whom to believe.
#[derive(Clone)]
pub(super) struct Trust(Arc<ClientConfig>);

impl Trust {
    pub fn connector(&self) -> Connector {
        Connector(MakeRustlsConnect::new(ClientConfig::clone(&self.0)))
    }
}

/// Makes connections by TLS, where the server asks for it.
#[derive(Clone)]
pub struct Connector(MakeRustlsConnect);

impl MakeTlsConnect<Socket> for Connector {
    type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    /// A socket file has no name, and no TLS either: it is asked for all the same.
    fn make_tls_connect(&mut self, name: &str) -> Result<Self::TlsConnect, Self::Error> {
        let name = if name.is_empty() { "localhost" } else { name };
        MakeTlsConnect::<Socket>::make_tls_connect(&mut self.0, name)
    }
}

/// Reads the signers, where they count.
pub(super) fn trust(verify: Verify, roots: Option<PathBuf>) -> Result<Trust, UrlError> {
    let provider = Arc::new(ring::default_provider());
    let roots = match verify {
        Verify::Nothing => RootCertStore::empty(),
        Verify::Signer | Verify::Name => read_roots(&roots.unwrap_or_else(|| SYSTEM_ROOTS.into()))?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(wrong("choosing TLS versions"))?;
    let config = match verify {
        Verify::Name => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(wrong("reading sslrootcert"))?;
            builder.with_webpki_verifier(verifier)
        }
        Verify::Signer | Verify::Nothing => {
            let signers = (verify == Verify::Signer).then_some(roots);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Nameless { signers, provider }))
        }
    };
    Ok(Trust(Arc::new(config.with_no_client_auth())))
}

/// TLS that cannot be set up.
fn wrong<E: std::fmt::Display>(action: &'static str) -> impl Fn(E) -> UrlError {
    move |error| UrlError { place: action.to_owned(), reason: error.to_string() }
}

fn read_roots(path: &Path) -> Result<RootCertStore, UrlError> {
    let wrong = |reason: String| UrlError {
        place: path.display().to_string(),
        reason: format!("{reason}; name a file of PEM certificates by sslrootcert=FILE in the URL"),
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Believes a certificate without asking for its name: one of these signers, or anybody.
#[derive(Debug)]
struct Nameless {
    signers: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Nameless {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(signers) = &self.signers {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, signers, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
