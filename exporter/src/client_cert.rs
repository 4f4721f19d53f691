//! Which certificates clients must show.
//!
//! What the TLS library can verify is left to it. It has no way to take a certificate without verifying it, nor to
//! look at its names; this has.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::config::{ClientAuth, ConfigError, TlsServer};

/// Judges the certificates of clients.
#[derive(Debug)]
pub(crate) struct ClientCertificates {
    policy: ClientAuth,
    /// Who verifies them, if anybody does.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Names of which each must have one; none means that names do not matter.
    names: BTreeSet<String>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertificates {
    /// # Errors
    /// When the policy does not go with what else is given.
    pub(crate) fn new(
        config: &TlsServer,
        roots: Option<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientCertificates, ConfigError> {
        let fault = |what: String| ConfigError::new(format!("tls_server_config: {what}"));
        let policy = config.client_auth_type;
        let verifies = matches!(
            policy,
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert
        );
        let verifier = match (verifies, roots) {
            (true, None) => return Err(fault(format!("{policy:?} needs `client_ca_file`"))),
            (true, Some(roots)) => {
                let provider = Arc::clone(provider);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                Some(verifier.map_err(|error| fault(error.to_string()))?)
            }
            (false, Some(_)) => {
                let what = "`client_ca_file` has no effect without `client_auth_type: \
                            RequireAndVerifyClientCert`";
                return Err(fault(what.into()));
            }
            (false, None) => None,
        };
        let names: BTreeSet<String> = config.client_allowed_sans.iter().cloned().collect();
        if !names.is_empty() && !verifies {
            let what = "`client_allowed_sans` needs certificates that are verified";
            return Err(fault(what.into()));
        }
        Ok(ClientCertificates {
            policy,
            verifier,
            names,
            provider: Arc::clone(provider),
        })
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn offer_client_auth(&self) -> bool {
        self.policy != ClientAuth::NoClientCert
    }

    fn client_auth_mandatory(&self) -> bool {
        matches!(
            self.policy,
            ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert
        )
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.verifier {
            Some(verifier) => verifier.root_hint_subjects(),
            None => &[],
        }
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(verifier) = &self.verifier {
            verifier.verify_client_cert(certificate, intermediates, now)?;
        }
        if self.names.is_empty() || names_of(certificate).any(|name| self.names.contains(&name)) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// The alternative names in a certificate; none where it makes no sense.
fn names_of(certificate: &CertificateDer<'_>) -> impl Iterator<Item = String> {
    let parsed = x509_cert::Certificate::from_der(certificate);
    let names = parsed.ok().and_then(|parsed| {
        let found = parsed.tbs_certificate().get_extension::<SubjectAltName>();
        found.ok().flatten().map(|(_, names)| names.0)
    });
    names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
        _ => None,
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| v6()).ok().map(|address| address.to_string())
}
