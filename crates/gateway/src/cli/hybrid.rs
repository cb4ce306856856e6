//! `bascule hybrid`: what a control plane and its data planes need to trust each other.

use super::Outcome;
use clap::ValueEnum;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Prepare control planes and data planes
#[derive(clap::Args)]
pub struct Hybrid {
    command: Action,
    /// File for the certificate, which must not exist [default: ./cluster.crt]
    cert: Option<PathBuf>,
    /// File for the key, which must not exist [default: ./cluster.key]
    key: Option<PathBuf>,
    /// How long the certificate is valid
    #[arg(short, long, value_name = "DAYS", default_value_t = 1095)]
    days: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Make a certificate and its key, by which the nodes of a cluster know each other
    #[value(name = "gen_cert", alias = "gen-cert")]
    GenCert,
}

const SECONDS_A_DAY: u64 = 86_400;

impl Hybrid {
    pub(super) fn execute(&self) -> Outcome {
        let Hybrid { command: Action::GenCert, cert, key, days } = self;
        if cert.is_some() && key.is_none() {
            return Err("both cert and key path needs to be provided".to_owned());
        }
        // As Kong, which says in full where they are.
        let full = |path: &Option<PathBuf>, usual: &str| {
            let path = path.as_deref().unwrap_or(Path::new(usual));
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
        };
        let (cert, key) = (full(cert, "cluster.crt"), full(key, "cluster.key"));
        for path in [&cert, &key] {
            if path.exists() {
                return Err(exists(path));
            }
        }
        let (cert_pem, key_pem) = pair(*days).map_err(|e| format!("cannot make a certificate: {e}"))?;
        write_new(&cert, &cert_pem, 0o644)?;
        write_new(&key, &key_pem, 0o600)?;
        println!(
            "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.",
            cert.display(),
            key.display()
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Self-signed, under the name that Kong's nodes expect of each other.
fn pair(days: u32) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kong_clustering");
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + Duration::from_secs(u64::from(days) * SECONDS_A_DAY)).into();
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn exists(path: &Path) -> String {
    format!("{} already exists.\nWill not overwrite it.", path.display())
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => format!("cannot write {}: {e}", path.display()),
    })
}
