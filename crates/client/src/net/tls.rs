//! [`Tls`]: whom the client trusts, and who it says it is.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::BoxStream;
use super::proxy::told;
use crate::error::{TransportCause, TransportError};

/// Whom a client trusts, and by which certificate it makes itself known. Without more it trusts the roots
/// of the system.
///
/// ```no_run
/// # use roomful_client::Tls;
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = Tls::new()
///     .ca(&std::fs::read("ca.pem")?)?
///     .certificate(&std::fs::read("me.pem")?, &std::fs::read("me.key")?)?;
/// # drop(tls); Ok(()) }
/// ```
#[derive(Default)]
pub struct Tls {
    roots: Vec<CertificateDer<'static>>,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    only_own_roots: bool,
    trusts_anybody: bool,
    ready: Option<TlsConnector>,
}

/// Why a certificate or a key cannot be used.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Trusts the roots of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in this PEM, too.
    ///
    /// # Errors
    ///
    /// Where there is no certificate in it, or one that cannot be read.
    pub fn ca(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.roots.extend(certificates(pem, "the CA")?);
        Ok(self)
    }

    /// Trusts nobody but the certificates of [`ca`](Self::ca).
    pub const fn only_own_roots(mut self) -> Self {
        self.only_own_roots = true;
        self
    }

    /// Shows the server this certificate, in PEM with those that it is signed by, and its key.
    ///
    /// # Errors
    ///
    /// Where either cannot be read.
    #[doc(alias = "cert")]
    #[doc(alias = "key")]
    pub fn certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(chain, "the client's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| TlsError(format!("the client's key cannot be read: {e}")))?;
        self.certificate = Some((chain, key));
        Ok(self)
    }

    /// Takes any certificate of any server. Whoever stands between then reads and changes everything:
    /// only for a test with a certificate that nobody has signed. Such a client says so in the log.
    #[doc(alias = "rejectUnauthorized")]
    pub const fn dangerously_trust_anybody(mut self) -> Self {
        self.trusts_anybody = true;
        self
    }

    /// The same, with all that connecting needs.
    pub(crate) fn ready(mut self) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let bad = |e: Error| TlsError(format!("TLS cannot be set up: {e}"));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(bad)?;
        let builder = if self.trusts_anybody {
            tracing::warn!(
                "this client takes any TLS certificate: whoever stands between can read it"
            );
            let verifier = Arc::new(Anybody(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            let roots = Arc::new(self.roots()?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|e| TlsError(format!("no root to trust: {e}")))?;
            builder.with_webpki_verifier(verifier)
        };
        let mut config = match self.certificate.take() {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(bad)?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        self.ready = Some(TlsConnector::from(Arc::new(config)));
        Ok(self)
    }

    fn roots(&mut self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        if !self.only_own_roots {
            // Some systems have roots that cannot be read among others that can.
            let (added, _) =
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 && self.roots.is_empty() {
                return Err(TlsError(
                    "the system has no root certificates: install the package ca-certificates, or \
                     give one with `Tls::ca`"
                        .to_owned(),
                ));
            }
        }
        for root in std::mem::take(&mut self.roots) {
            let bad = |e| TlsError(format!("the CA cannot be trusted: {e}"));
            store.add(root).map_err(bad)?;
        }
        Ok(store)
    }

    pub(super) async fn connect(
        &self,
        host: &str,
        stream: BoxStream,
    ) -> Result<BoxStream, TransportError> {
        let connector = self.ready.as_ref().ok_or(TransportCause::NoTls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TransportCause::Address)?;
        let stream = connector.connect(name, stream).await;
        Ok(Box::new(stream.map_err(|e| TransportCause::Tls(told(&e)))?))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("trusts_anybody", &self.trusts_anybody)
            .field("only_own_roots", &self.only_own_roots)
            .finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8], whose: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| TlsError(format!("{whose} cannot be read: {e}")))?;
    match found.is_empty() {
        true => Err(TlsError(format!("{whose} has no certificate in PEM"))),
        false => Ok(found),
    }
}

/// Verifies nothing but that the server has the key of its certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
