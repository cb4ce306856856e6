//! What a request shows of its caller.

use super::settings::{Places, Settings};
use sdk::{Args, Content, Exchange, decode_base64};

/// What was found, by the method that understands it.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// An access token.
    Bearer(String),
    RefreshToken(String),
    /// A name and a secret: of a user, of a client, or of either.
    Pair {
        name: String,
        secret: String,
        of: Owner,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    User,
    Client,
    Either,
}

/// A request as callers fill it.
pub struct Shower<'e> {
    exchange: &'e Exchange,
    query: Args,
    content: Option<Content>,
}

impl<'e> Shower<'e> {
    pub fn new(exchange: &'e Exchange) -> Shower<'e> {
        let query = Args::parse(exchange.request.query().unwrap_or_default());
        Shower { exchange, query, content: Content::of(exchange) }
    }

    /// An argument of the query or of the content, that is one string.
    pub fn argument(&self, name: &str) -> Option<String> {
        let places = Places { query: true, body: true, ..Places::default() };
        self.parameter(name, places)
    }

    /// What the caller shows first, in the order of the methods.
    pub fn find(&self, settings: &Settings) -> Option<Shown> {
        let methods = settings.methods;
        let bearer = methods.bearer || methods.introspection || methods.userinfo;
        if bearer && let Some(token) = self.bearer(settings) {
            return Some(Shown::Bearer(token));
        }
        if methods.refresh_token
            && let Some(name) = &settings.refresh_token_param
            && let Some(token) = self.line_or_parameter(name, settings.refresh_token_places)
        {
            return Some(Shown::RefreshToken(token));
        }
        let of = match (methods.password, methods.client_credentials) {
            (true, true) => Owner::Either,
            (true, false) => Owner::User,
            (false, true) => Owner::Client,
            (false, false) => return None,
        };
        let in_line = settings.password_places.header || settings.client_credentials_places.header;
        if in_line && let Some((name, secret)) = self.basic() {
            return Some(Shown::Pair { name, secret, of });
        }
        let pair = |name: &str, secret: &str, places, of| {
            let pair = (self.parameter(name, places)?, self.parameter(secret, places)?);
            Some(Shown::Pair { name: pair.0, secret: pair.1, of })
        };
        let user = || pair("username", "password", settings.password_places, Owner::User);
        let client = || pair("client_id", "client_secret", settings.client_credentials_places, Owner::Client);
        let user = if methods.password { user() } else { None };
        user.or_else(|| if methods.client_credentials { client() } else { None })
    }

    fn bearer(&self, settings: &Settings) -> Option<String> {
        if let Some(name) = &settings.bearer_line {
            let line = self.exchange.request.fields.get_str(name)?.trim();
            let scheme = line.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let token = scheme.map_or(line, |(_, token)| token.trim());
            return Some(token.to_owned()).filter(|token| !token.is_empty());
        }
        let places = settings.bearer_places;
        if places.header
            && let Some(line) = self.exchange.request.fields.get_str("Authorization")
            && let Some((scheme, token)) = line.trim().split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            return Some(token.trim().to_owned());
        }
        if places.cookie
            && let Some(name) = &settings.bearer_cookie
            && let Some(value) = cookie(self.exchange, name)
        {
            return Some(value);
        }
        self.parameter("access_token", places)
    }

    fn basic(&self) -> Option<(String, String)> {
        let line = self.exchange.request.fields.get_str("Authorization")?;
        let (scheme, encoded) = line.trim().split_once(' ')?;
        let decoded = decode_base64(encoded.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (name, secret) = decoded.split_once(':').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), secret.to_owned()))
    }

    fn line_or_parameter(&self, name: &str, places: Places) -> Option<String> {
        let line = self.exchange.request.fields.get_str(name).filter(|_| places.header);
        line.map(str::to_owned).or_else(|| self.parameter(name, places))
    }

    fn parameter(&self, name: &str, places: Places) -> Option<String> {
        let one = |mut values: Vec<Option<Vec<u8>>>| {
            let value = values.pop().filter(|_| values.is_empty())??;
            String::from_utf8(value).ok().filter(|text| !text.is_empty())
        };
        let in_query = || one(self.query.get_all(name).map(|value| value.map(Into::into)).collect());
        let in_body = || one(self.content.as_ref()?.get_all(name));
        let found = if places.query { in_query() } else { None };
        found.or_else(|| if places.body { in_body() } else { None })
    }
}

/// Takes what was shown out of what goes to the service.
pub fn hide(exchange: &mut Exchange, settings: &Settings) {
    const NAMES: [&str; 5] = ["access_token", "username", "password", "client_id", "client_secret"];
    exchange.request.fields.remove("Authorization");
    for name in [&settings.refresh_token_param, &settings.bearer_line].into_iter().flatten() {
        exchange.request.fields.remove(name);
    }
    remove_arguments(exchange, &NAMES);
    if let Some(mut content) = Content::of(exchange) {
        let removed = NAMES.iter().filter(|name| content.remove(name)).count();
        if removed > 0 {
            exchange.body = content.encode().into();
        }
    }
}

/// Takes arguments out of the query that goes to the service.
pub fn remove_arguments(exchange: &mut Exchange, names: &[&str]) {
    if let Some(query) = exchange.upstream.query.take() {
        let rest = names.iter().fold(query, |query, name| Args::without(&query, name));
        exchange.upstream.query = Some(rest).filter(|rest| !rest.is_empty());
    }
}

fn cookie(exchange: &Exchange, name: &str) -> Option<String> {
    let value = sdk::field_value::cookie(&exchange.request.fields, name)?;
    String::from_utf8(value.to_vec()).ok()
}
