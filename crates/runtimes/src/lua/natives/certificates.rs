//! Certificates of `resty.openssl.x509`: what they say, and who vouches for them.

use super::keys::of_pem;
use mlua::{Lua, LuaString, Result, Table, Value};
use sdk::certificates::find_path;
use sdk::{CertificateDer, ClientCertificate, PemObject, PrivateKeyDer, UnixTime};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Extension, X509Name};

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("certificate", lua.create_function(certificate)?)?;
    native.raw_set("certificates_of_pem", lua.create_function(certificates_of_pem)?)?;
    native.raw_set("certificates_of_der", lua.create_function(certificates_of_der)?)?;
    native.raw_set("key_of_pem", lua.create_function(key_of_pem)?)?;
    native.raw_set("vouched_for", lua.create_function(vouched_for)?)
}

/// What a certificate in PEM or DER says, or nil and why it cannot be read.
fn certificate(lua: &Lua, given: LuaString) -> Result<(Value, Option<String>)> {
    let given = given.as_bytes();
    let octets = of_pem(&given).map_or_else(|| given.to_vec(), |(_, octets)| octets);
    let parsed = match X509Certificate::from_der(&octets) {
        Ok((_, parsed)) => parsed,
        Err(error) => return Ok((Value::Nil, Some(error.to_string()))),
    };
    let table = lua.create_table()?;
    table.raw_set("der", lua.create_string(&octets)?)?;
    table.raw_set("public_key", lua.create_string(parsed.public_key().raw)?)?;
    table.raw_set("serial", lua.create_string(parsed.raw_serial())?)?;
    table.raw_set("version", parsed.version().0)?;
    table.raw_set("not_before", parsed.validity().not_before.timestamp())?;
    table.raw_set("not_after", parsed.validity().not_after.timestamp())?;
    table.raw_set("subject", name(lua, parsed.subject())?)?;
    table.raw_set("issuer", name(lua, parsed.issuer())?)?;
    table.raw_set("is_ca", parsed.is_ca())?;
    let constraints = parsed.basic_constraints().ok().flatten();
    table.raw_set("path_length", constraints.and_then(|constraints| constraints.value.path_len_constraint))?;
    extensions(lua, &table, parsed.extensions())?;
    table.raw_set("algorithm", parsed.signature_algorithm.algorithm.to_id_string())?;
    table.raw_set("signed", lua.create_string(parsed.tbs_certificate.as_ref())?)?;
    table.raw_set("signature", lua.create_string(&parsed.signature_value.data)?)?;
    Ok((Value::Table(table), None))
}

/// Tells of extensions: their identifiers, whether they are critical, and their values; and of the names among them.
pub fn extensions(lua: &Lua, table: &Table, extensions: &[X509Extension<'_>]) -> Result<()> {
    let (all, others) = (lua.create_table()?, lua.create_table()?);
    for extension in extensions {
        let one = lua.create_table()?;
        one.raw_push(extension.oid.to_id_string())?;
        one.raw_push(extension.critical)?;
        one.raw_push(lua.create_string(extension.value)?)?;
        all.raw_push(one)?;
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else { continue };
        for alternative in &names.general_names {
            let (kind, text) = match alternative {
                GeneralName::DNSName(name) => ("DNS", lua.create_string(name)?),
                GeneralName::RFC822Name(address) => ("email", lua.create_string(address)?),
                GeneralName::URI(uri) => ("URI", lua.create_string(uri)?),
                GeneralName::IPAddress(address) => ("IP", lua.create_string(address)?),
                _ => continue,
            };
            others.raw_push(lua.create_sequence_from([lua.create_string(kind)?, text])?)?;
        }
    }
    table.raw_set("extensions", all)?;
    table.raw_set("alternatives", others)
}

/// All certificates of a text in PEM, in DER, or nil and what OpenSSL would say.
fn certificates_of_pem(lua: &Lua, given: LuaString) -> Result<(Value, Option<&'static str>)> {
    let failed = Ok((Value::Nil, Some("PEM_read_bio_X509_AUX() failed")));
    let given = given.as_bytes();
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&given).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok((Value::Table(ders(lua, found.iter().map(|der| &der[..]))?), None)),
        _ => failed,
    }
}

/// The same, of texts in DER one after the other.
fn certificates_of_der(lua: &Lua, given: LuaString) -> Result<(Value, Option<&'static str>)> {
    let given = given.as_bytes();
    let (mut rest, mut found) = (&given[..], Vec::new());
    while !rest.is_empty() {
        match X509Certificate::from_der(rest) {
            Ok((after, _)) => found.push(&rest[..rest.len() - after.len()]),
            Err(_) => return Ok((Value::Nil, Some("d2i_X509_bio() failed"))),
        }
        rest = &rest[found.last().map_or(0, |der| der.len())..];
    }
    match found.is_empty() {
        true => Ok((Value::Nil, Some("d2i_X509_bio() failed"))),
        false => Ok((Value::Table(ders(lua, found.into_iter())?), None)),
    }
}

fn ders<'d>(lua: &Lua, all: impl Iterator<Item = &'d [u8]>) -> Result<Table> {
    lua.create_sequence_from(all.map(|der| lua.create_string(der)).collect::<Result<Vec<_>>>()?)
}

/// The private key of a text in PEM, in DER.
fn key_of_pem(lua: &Lua, given: LuaString) -> Result<(Value, Option<&'static str>)> {
    match PrivateKeyDer::from_pem_slice(&given.as_bytes()) {
        Ok(key) => Ok((Value::String(lua.create_string(key.secret_der())?), None)),
        Err(_) => Ok((Value::Nil, Some("PEM_read_bio_PrivateKey() failed"))),
    }
}

/// The attributes of a name in its order: short names (or identifiers), identifiers and texts.
pub fn name(lua: &Lua, name: &X509Name<'_>) -> Result<Table> {
    let table = lua.create_table()?;
    for attribute in name.iter_attributes() {
        let id = attribute.attr_type().to_id_string();
        let short = match id.as_str() {
            "2.5.4.3" => "CN",
            "2.5.4.4" => "SN",
            "2.5.4.5" => "serialNumber",
            "2.5.4.6" => "C",
            "2.5.4.7" => "L",
            "2.5.4.8" => "ST",
            "2.5.4.10" => "O",
            "2.5.4.11" => "OU",
            "1.2.840.113549.1.9.1" => "emailAddress",
            "0.9.2342.19200300.100.1.1" => "UID",
            "0.9.2342.19200300.100.1.25" => "DC",
            _ => &id,
        };
        let value = attribute.attr_value().data;
        table.raw_push(lua.create_sequence_from([
            lua.create_string(short)?,
            lua.create_string(&id)?,
            lua.create_string(value)?,
        ])?)?;
    }
    Ok(table)
}

/// Whether one of the authorities vouches for a certificate now, by way of others; if not, why.
fn vouched_for(_: &Lua, (own, others, authorities): (LuaString, Table, Table)) -> Result<(bool, Option<String>)> {
    let listed = |table: &Table| -> Result<Vec<CertificateDer<'static>>> {
        table.sequence_values::<LuaString>().map(|der| Ok(CertificateDer::from(der?.as_bytes().to_vec()))).collect()
    };
    let mut chain = vec![CertificateDer::from(own.as_bytes().to_vec())];
    chain.extend(listed(&others)?);
    let Some(client) = ClientCertificate::new(chain) else { return Ok((false, Some("there is none".to_owned()))) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match find_path(&client, &listed(&authorities)?, true, UnixTime::since_unix_epoch(now)) {
        Ok(_) => Ok((true, None)),
        Err(why) => Ok((false, Some(why))),
    }
}
