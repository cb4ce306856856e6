//! Addresses of the web, as browsers read them: what `resty.ada` stands on.

use mlua::{Lua, Result, Table};
use sdk::ErrorFormat;
use url::{Position, Url, quirks};

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("url", lua.create_function(url)?)?;
    let template = |_: &Lua, kind: String| Ok(ErrorFormat::parse(&kind).map(ErrorFormat::template));
    native.raw_set("error_template", lua.create_function(template)?)?;
    native.raw_set("url_changed", lua.create_function(changed)?)
}

/// The parts of an address, which may be relative to another one; nil for what is none.
fn url(lua: &Lua, (text, base): (String, Option<String>)) -> Result<Option<Table>> {
    let parsed = match base {
        Some(base) => Url::parse(&base).and_then(|base| base.join(&text)),
        None => Url::parse(&text),
    };
    parsed.ok().map(|url| parts(lua, &url)).transpose()
}

/// The same after one part was changed; nil where it cannot have that value.
fn changed(lua: &Lua, (text, part, value): (String, String, String)) -> Result<Option<Table>> {
    let Ok(mut url) = Url::parse(&text) else { return Ok(None) };
    let done = match part.as_str() {
        "href" => quirks::set_href(&mut url, &value).is_ok(),
        "protocol" => quirks::set_protocol(&mut url, &value).is_ok(),
        "username" => quirks::set_username(&mut url, &value).is_ok(),
        "password" => quirks::set_password(&mut url, &value).is_ok(),
        "host" => quirks::set_host(&mut url, &value).is_ok(),
        "hostname" => quirks::set_hostname(&mut url, &value).is_ok(),
        "port" => quirks::set_port(&mut url, &value).is_ok(),
        "pathname" => {
            quirks::set_pathname(&mut url, &value);
            true
        }
        "search" => {
            quirks::set_search(&mut url, &value);
            true
        }
        "hash" => {
            quirks::set_hash(&mut url, &value);
            true
        }
        _ => false,
    };
    if done { parts(lua, &url).map(Some) } else { Ok(None) }
}

fn parts(lua: &Lua, url: &Url) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("href", url.as_str())?;
    table.raw_set("protocol", quirks::protocol(url))?;
    table.raw_set("username", quirks::username(url))?;
    table.raw_set("password", quirks::password(url))?;
    table.raw_set("host", quirks::host(url))?;
    table.raw_set("hostname", quirks::hostname(url))?;
    table.raw_set("port", quirks::port(url))?;
    table.raw_set("pathname", quirks::pathname(url))?;
    table.raw_set("search", quirks::search(url))?;
    table.raw_set("hash", quirks::hash(url))?;
    table.raw_set("origin", quirks::origin(url))?;
    // A question mark or a hash with nothing behind it is not among the parts.
    table.raw_set("has_search", url.query().is_some())?;
    table.raw_set("has_hash", url.fragment().is_some())?;
    table.raw_set("has_hostname", !url[Position::BeforeHost..Position::AfterHost].is_empty())?;
    Ok(table)
}
