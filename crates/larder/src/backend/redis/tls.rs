//! TLS: who the server is, is always verified.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::failure::bad_file;
use crate::config::Access;
use crate::error::Result;

/// Room that is kept for the next answer.
const KEPT: usize = 64 << 10;

/// Whom to trust and who we are; shared by all connections, which resume each other's sessions by
/// it.
#[derive(Debug, Default)]
pub(super) struct Trust(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    config: Arc<ClientConfig>,
    /// The files as they were when they were read.
    files: Vec<Option<Stamp>>,
}

/// What changes with a file's content: device, number, size and the time of the last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Trust {
    /// What the files of `access` say. They are read again when one of them has changed; while they
    /// do not fit each other, as in the middle of a renewal, what they said before counts.
    pub(super) fn config(&self, access: &Access) -> Result<Arc<ClientConfig>> {
        let files = stamps(access);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.files == files) {
            return Ok(Arc::clone(&known.config));
        }
        match (read(access), known.as_ref()) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                *known = Some(Known { config: Arc::clone(&config), files });
                Ok(config)
            }
            (Err(_), Some(known)) => Ok(Arc::clone(&known.config)),
            (Err(error), None) => Err(error),
        }
    }

    /// Reads all again the next time: what the system trusts may have been exchanged, as the
    /// server's certificate may.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn stamps(access: &Access) -> Vec<Option<Stamp>> {
    let pair = access.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
    let stamp = |path: &String| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
    };
    access.ca_file.iter().chain(pair).map(stamp).collect()
}

fn read(access: &Access) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &access.ca_file {
        Some(path) => certificates(path)
            .and_then(|found| {
                found
                    .into_iter()
                    .try_for_each(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            })
            .map_err(|error| bad_file(format!("ca_file {path}: {error}")))?,
        // Those that cannot be read are trusted by nobody; without any, no server is.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad_file)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &access.identity else { return Ok(builder.with_no_client_auth()) };
    let chain =
        certificates(certificate).map_err(|error| bad_file(format!("cert_file {certificate}: {error}")))?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| bad_file(format!("key_file {key}: {error}")))?;
    builder
        .with_client_auth_cert(chain, secret)
        .map_err(|error| bad_file(format!("cert_file {certificate} and key_file {key}: {error}")))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

/// What an error of a handshake says about the server's certificate, if it is about that.
pub(super) fn bad_certificate(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(why) => {
            Some(format!("the server's certificate was not accepted: {why}"))
        }
        rustls::Error::NoCertificatesPresented => Some("the server has no certificate".to_owned()),
        _ => None,
    }
}

/// One end of a conversation in TLS. It neither sends nor receives.
pub(super) struct Tls {
    session: ClientConnection,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Tls {
    pub(super) fn new(config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let host = ServerName::try_from(host.to_owned()).map_err(invalid)?;
        let session = ClientConnection::new(config, host).map_err(invalid)?;
        Ok(Self { session, incoming: Vec::new(), outgoing: Vec::new() })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Where what was received has to be put, for [`open`](Self::open).
    pub(super) fn incoming(&mut self) -> &mut Vec<u8> {
        self.incoming.clear();
        self.incoming.shrink_to(KEPT);
        &mut self.incoming
    }

    /// Adds to `plain` what is in the bytes that were received.
    pub(super) fn open(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
        let mut incoming = self.incoming.as_slice();
        while !incoming.is_empty() {
            self.session.read_tls(&mut incoming)?;
            let state = self.session.process_new_packets().map_err(invalid)?;
            let (before, more) = (plain.len(), state.plaintext_bytes_to_read());
            plain.resize(before + more, 0);
            self.session.reader().read_exact(plain.get_mut(before..).unwrap_or_default())?;
            if state.peer_has_closed() && more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Takes in as much of `plain` as fits into [`outgoing`](Self::outgoing), and answers how much.
    pub(super) fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.session.writer().write(plain)
    }

    /// What has to be sent.
    pub(super) fn outgoing(&mut self) -> io::Result<&[u8]> {
        self.outgoing.clear();
        while self.session.wants_write() {
            self.session.write_tls(&mut self.outgoing)?;
        }
        Ok(&self.outgoing)
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
