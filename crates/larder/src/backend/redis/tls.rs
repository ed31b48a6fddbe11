//! TLS: who the server is, is always verified.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::failure::no_authorities;
use crate::error::Result;

/// Room that is kept for the next answer.
const KEPT: usize = 64 << 10;

/// Whom to trust; read once, and shared by all connections, which resume each other's sessions by it.
#[derive(Debug, Default)]
pub(super) struct Trust(Mutex<Option<Arc<ClientConfig>>>);

impl Trust {
    /// Trusts the certificates in `ca_file`, or else those of the system.
    pub(super) fn config(&self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>> {
        if let Some(config) = self.known().as_ref() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => certificates(path)
                .and_then(|found| {
                    found
                        .into_iter()
                        .try_for_each(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
                })
                .map_err(|error| no_authorities(format!("ca_file {}: {error}", path.display())))?,
            // Those that cannot be read are trusted by nobody; without any, no server is.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_authorities)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        *self.known() = Some(Arc::clone(&config));
        Ok(config)
    }

    /// Reads the certificates again the next time: they may have been exchanged, as the server's may.
    pub(super) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<ClientConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
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
