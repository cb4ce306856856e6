//! Requests for certificates, and lists of revoked ones: `resty.openssl.x509.csr` and `crl`.

use super::certificates::{extensions, name};
use super::keys::of_pem;
use mlua::{Lua, LuaString, Result, Table, Value};
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, ParsedCriAttribute, X509CertificationRequest, X509Extension,
};

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("certificate_request", lua.create_function(certificate_request)?)?;
    native.raw_set("revocations", lua.create_function(revocations)?)
}

fn der_of(given: &[u8]) -> Vec<u8> {
    of_pem(given).map_or_else(|| given.to_vec(), |(_, octets)| octets)
}

/// What a request in PEM or DER says, or nil and why it cannot be read.
fn certificate_request(lua: &Lua, given: LuaString) -> Result<(Value, Option<String>)> {
    let octets = der_of(&given.as_bytes());
    let parsed = match X509CertificationRequest::from_der(&octets) {
        Ok((_, parsed)) => parsed,
        Err(error) => return Ok((Value::Nil, Some(error.to_string()))),
    };
    let info = &parsed.certification_request_info;
    let table = lua.create_table()?;
    table.raw_set("der", lua.create_string(&octets)?)?;
    table.raw_set("public_key", lua.create_string(info.subject_pki.raw)?)?;
    table.raw_set("version", info.version.0)?;
    table.raw_set("subject", name(lua, &info.subject)?)?;
    let wanted = info.iter_attributes().find_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(wanted) => Some(&wanted.extensions[..]),
        _ => None,
    });
    let none: &[X509Extension<'_>] = &[];
    extensions(lua, &table, wanted.unwrap_or(none))?;
    table.raw_set("algorithm", parsed.signature_algorithm.algorithm.to_id_string())?;
    table.raw_set("signed", lua.create_string(info.raw)?)?;
    table.raw_set("signature", lua.create_string(&parsed.signature_value.data)?)?;
    Ok((Value::Table(table), None))
}

/// What a list of revoked certificates says, in PEM or DER, or nil and why it cannot be read.
fn revocations(lua: &Lua, given: LuaString) -> Result<(Value, Option<String>)> {
    let octets = der_of(&given.as_bytes());
    let parsed = match CertificateRevocationList::from_der(&octets) {
        Ok((_, parsed)) => parsed,
        Err(error) => return Ok((Value::Nil, Some(error.to_string()))),
    };
    let table = lua.create_table()?;
    table.raw_set("der", lua.create_string(&octets)?)?;
    table.raw_set("version", parsed.version().map_or(1, |version| version.0 + 1))?;
    table.raw_set("issuer", name(lua, parsed.issuer())?)?;
    table.raw_set("last_update", parsed.last_update().timestamp())?;
    table.raw_set("next_update", parsed.next_update().map(|time| time.timestamp()))?;
    table.raw_set("algorithm", parsed.signature_algorithm.algorithm.to_id_string())?;
    table.raw_set("signed", lua.create_string(parsed.tbs_cert_list.as_ref())?)?;
    table.raw_set("signature", lua.create_string(&parsed.signature_value.data)?)?;
    let all = lua.create_table()?;
    for revoked in parsed.iter_revoked_certificates() {
        let serial = revoked.raw_serial();
        let from = serial.iter().position(|octet| *octet != 0).unwrap_or(0);
        let one = lua.create_table()?;
        one.raw_push(lua.create_string(&serial[from..])?)?;
        one.raw_push(revoked.revocation_date.timestamp())?;
        one.raw_push(revoked.reason_code().map(|(_, reason)| reason.to_string()))?;
        all.raw_push(one)?;
    }
    table.raw_set("revoked", all)?;
    Ok((Value::Table(table), None))
}
