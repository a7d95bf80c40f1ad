//! TLS to file servers: whom to trust, who we are, and what a failed handshake means.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::origin::Origin;
use crate::{Error, ErrorKind, Result};

/// Whom `https` file servers have to be certified by, and the certificate that this client shows them.
///
/// Every store and the plain downloads of a bridge take these options. Without them the system's certificate
/// authorities are trusted, and no client certificate is shown. There is no way to switch verification off.
///
/// `Debug` shows how many certificates there are, never a key.
///
/// # Examples
/// ```no_run
/// use natsbridge::link::{Plik, TlsOptions};
///
/// let tls = TlsOptions::new()
///     .root_certificate_file("/etc/natsbridge/ca.pem")? // beside the system's
///     .client_certificate_files("/etc/natsbridge/client.pem", "/etc/natsbridge/client.key")?;
/// let store = Plik::new("https://files.example.org")?.tls(tls);
/// # Ok::<_, natsbridge::Error>(())
/// ```
#[derive(Clone)]
pub struct TlsOptions {
    system_roots: bool,
    roots: RootCertStore,
    identity: Option<Arc<CertifiedKey>>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { system_roots: true, roots: RootCertStore::empty(), identity: None }
    }
}

impl TlsOptions {
    /// The system's certificate authorities, and no client certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this PEM text as well; call it again for more.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if there is no certificate in it, or one that cannot be read.
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self> {
        self.add_roots(pem.as_ref(), &"the root certificates")
    }

    /// The same, from a file, which is read now.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] as above, and if the file cannot be read.
    pub fn root_certificate_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        self.add_roots(&read(path)?, &path.display())
    }

    /// Trusts only the authorities that were given here, and none of the system's.
    #[must_use]
    pub fn without_system_roots(mut self) -> Self {
        self.system_roots = false;
        self
    }

    /// Shows this certificate to servers that ask for one: PEM texts with the chain, this client's own certificate first,
    /// and with its private key (PKCS #8, PKCS #1 or SEC 1; not encrypted).
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] if either cannot be read, or they do not belong together.
    pub fn client_certificate(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self> {
        self.set_identity(chain.as_ref(), &"the client certificate", key.as_ref(), &"its key")
    }

    /// The same, from two files, which are read now; one file may hold both.
    ///
    /// # Errors
    /// [`ErrorKind::Misuse`] as above, and if a file cannot be read.
    pub fn client_certificate_files(self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        self.set_identity(&read(chain)?, &chain.display(), &read(key)?, &key.display())
    }

    fn add_roots(mut self, pem: &[u8], place: &dyn fmt::Display) -> Result<Self> {
        for certificate in certificates(pem, place)? {
            self.roots.add(certificate).map_err(|error| {
                misuse(format!("{place}: a certificate that cannot be an authority")).with_source(error)
            })?;
        }
        Ok(self)
    }

    fn set_identity(
        mut self,
        chain: &[u8],
        chain_place: &dyn fmt::Display,
        key: &[u8],
        key_place: &dyn fmt::Display,
    ) -> Result<Self> {
        let chain = certificates(chain, chain_place)?;
        // Without the source, which may repeat what stands in the file.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => misuse(format!("{key_place}: no private key that can be used")),
            _ => misuse(format!("{key_place}: the private key is no valid PEM")),
        })?;
        let identity = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                misuse(format!("{key_place}: the key of another certificate than {chain_place}"))
            }
            _ => misuse(format!("{key_place}: a private key or certificate of a kind that cannot be used")),
        })?;
        self.identity = Some(Arc::new(identity));
        Ok(self)
    }

    /// Reads the system's authorities, which takes some milliseconds and many files.
    fn config(self) -> Result<ClientConfig> {
        let failed = |error: Box<dyn StdError + Send + Sync>| {
            Error::new(ErrorKind::TlsFailed, "cannot set up TLS").with_source(error)
        };
        let mut roots = self.roots;
        if self.system_roots {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            let whose = if self.system_roots { "this system has" } else { "these options have" };
            return Err(failed(format!("{whose} no certificate authorities").into()));
        }
        let provider = Arc::new(provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| failed(error.into()))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .with_webpki_verifier(verifier);
        Ok(match self.identity {
            Some(identity) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
            None => config.with_no_client_auth(),
        })
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("system_roots", &self.system_roots)
            .field("roots", &self.roots.len())
            .field("client_certificate", &self.identity.is_some())
            .finish()
    }
}

/// The `ring` provider, given explicitly: a default provider may not be installed in the process, or be another one.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| misuse(format!("cannot read {}", path.display())).with_source(error))
}

fn certificates(pem: &[u8], place: &dyn fmt::Display) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| misuse(format!("{place}: not valid PEM")))?;
    match certificates.is_empty() {
        true => Err(misuse(format!("{place}: no certificate in PEM"))),
        false => Ok(certificates),
    }
}

fn misuse(what: String) -> Error {
    Error::new(ErrorKind::Misuse, what)
}

/// The options, and what is made of them when the first `https` origin asks for it. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Tls {
    options: TlsOptions,
    connector: Arc<OnceCell<TlsConnector>>,
}

impl Tls {
    pub(super) fn new(options: TlsOptions) -> Self {
        Self { options, connector: Arc::default() }
    }

    /// The handshake over a connection that is there.
    pub(super) async fn connect(&self, origin: &Origin, tcp: TcpStream) -> Result<TlsStream<TcpStream>> {
        let host = origin.host().trim_start_matches('[').trim_end_matches(']');
        let failed = |error: io::Error| {
            failure(origin, &error).unwrap_or_else(|| {
                Error::new(ErrorKind::Network, format!("the TLS handshake with {origin} broke off"))
                    .with_source(error)
            })
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::new(ErrorKind::TlsFailed, format!("{origin} has a name that no certificate can have"))
                .with_source(error)
        })?;
        let connector = self.connector.get_or_try_init(|| self.load()).await?;
        connector.connect(name, tcp).await.map_err(failed)
    }

    async fn load(&self) -> Result<TlsConnector> {
        let options = self.options.clone();
        let config = tokio::task::spawn_blocking(|| options.config()).await.map_err(|error| {
            Error::new(ErrorKind::Bug, "the task that sets up TLS did not finish").with_source(error)
        })??;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// The error for a connection that ended because the two sides do not accept each other; `None` where it broke for another
/// reason. A refused client certificate shows only here, with the first bytes that are read: TLS 1.3 tells the client that it
/// is connected before the server has looked at it.
pub(super) fn failure(origin: &Origin, error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    let tls = loop {
        let error = cause?;
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            break tls;
        }
        // An I/O error's source is the source of what is in it.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    };
    let what = meaning(tls)?;
    Some(Error::new(ErrorKind::TlsFailed, format!("{origin} {what}")).with_source(tls.clone()))
}

fn meaning(error: &rustls::Error) -> Option<&'static str> {
    use AlertDescription as Alert;
    use CertificateError as Bad;
    Some(match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "has a certificate that has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "has a certificate that is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "has a certificate for another host name"
            }
            Bad::UnknownIssuer => {
                "has a certificate of an authority that is not trusted here; see TlsOptions::root_certificates"
            }
            _ => "has a certificate that is not valid",
        },
        rustls::Error::NoCertificatesPresented => "shows no certificate",
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            "asks for a client certificate; see TlsOptions::client_certificate"
        }
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => "does not accept this client's certificate",
        rustls::Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity,
        )
        | rustls::Error::PeerIncompatible(_) => "and this client have no version or cipher of TLS in common",
        rustls::Error::AlertReceived(Alert::UnrecognisedName) => "does not know itself by this name",
        _ => return None,
    })
}
/// 32 hexadecimal digits that nobody can guess, from the provider of random numbers that TLS uses as well.
pub(super) fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::new(ErrorKind::Bug, "the system has no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
