//! Whom to trust when a forwarder is asked over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Trusts the system's authorities, and those in `ca_file`. `Err` is a sentence.
pub(super) fn authorities(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    millpond_kinesis::aws::tls_config(ca_file, true)
}

/// Trusts the one certificate that the forwarder shows by its configuration, whatever name is in it: it is asked at an
/// address of this machine, and the file says who it is. `Err` is a sentence.
pub(super) fn certificate(cert_file: &Path) -> Result<ClientConfig, String> {
    let cannot = |error: &dyn std::fmt::Display| {
        format!("admin.tls.cert_file {} cannot be read: {error}", cert_file.display())
    };
    let certificate = CertificateDer::from_pem_file(cert_file).map_err(|error| cannot(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let only = Arc::new(Only { certificate, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| cannot(&error))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(only).with_no_client_auth())
}

/// Accepts one certificate. That the other side has its key is checked as ever.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
