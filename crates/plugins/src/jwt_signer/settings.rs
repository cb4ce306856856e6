//! What a configuration says of one of the two tokens.

use super::key_sets::Source;
use sdk::jose::Algorithm;
use sdk::{Config, Env, Fields, HttpClient, HttpOptions, Url};
use serde_json::Value;
use std::time::Duration;

/// One of the tokens.
pub struct TokenSettings {
    /// `access_token` or `channel_token`.
    pub name: &'static str,
    /// The line with the token; `None`: there is no such token.
    pub header: Option<String>,
    pub optional: bool,
    /// Whose signatures are good.
    pub jwks: Option<Source>,
    pub verify_signature: bool,
    pub rules: Rules,
    pub introspection: Option<Introspection>,
    pub signing: Option<Signing>,
    /// Where the service gets the token as it came.
    pub original_header: Option<String>,
}

/// What claims must be.
pub struct Rules {
    pub verify_expiry: bool,
    pub expiry_claim: Vec<String>,
    pub verify_notbefore: bool,
    pub notbefore_claim: Vec<String>,
    pub leeway: f64,
    /// Claims of which one word has to be in a list, by what they say.
    pub allowed: Vec<Allowed>,
    /// Ways to claims that must be there.
    pub required: Vec<Vec<String>>,
    /// One of these lists of words has to be in the claim; none: nothing is asked for.
    pub scopes: Vec<Vec<String>>,
    pub scopes_claim: Vec<String>,
    pub consumer_claim: Vec<String>,
    pub consumer_by: Vec<String>,
}

/// What a claim may say.
pub struct Allowed {
    /// `issuer`, `subject` or `audience`.
    pub what: &'static str,
    pub claim: Vec<String>,
    pub words: Vec<String>,
}

/// Who is asked for tokens that say nothing themselves.
pub struct Introspection {
    pub url: Url,
    pub client: HttpClient,
    pub authorization: Option<String>,
    /// What the form begins with: the hint, and what the configuration adds.
    pub form: String,
    /// Where an answer has a token of its own, whose claims count.
    pub jwt_claim: Vec<String>,
    /// Whether that token needs no signature.
    pub trust: bool,
    pub cache: bool,
    pub rules: Rules,
}

/// The token that the service gets.
pub struct Signing {
    pub keys: Source,
    pub algorithm: Algorithm,
    pub issuer: Option<String>,
    pub header: String,
    /// What the value begins with, such as `Bearer`.
    pub scheme: Option<String>,
    /// Seconds that are added to its end.
    pub leeway: f64,
    /// Claims that are added where there is none of the name, and such that are set in any case.
    pub add: Vec<(String, Value)>,
    pub set: Vec<(String, Value)>,
    pub remove: Vec<String>,
}

impl TokenSettings {
    /// Those of `access_token` or `channel_token`.
    pub fn read(name: &'static str, config: &Config<'_>, env: &Env) -> Result<TokenSettings, String> {
        let field = |rest: &str| format!("{name}_{rest}");
        let line = |field: String| -> Result<Option<String>, String> {
            let line = config.text(&field).filter(|line| !line.is_empty());
            match line {
                Some(line) if !Fields::is_valid_name(line.as_bytes()) => {
                    Err(format!("config.{field}: cannot be the name of a header"))
                }
                line => Ok(line.map(str::to_owned)),
            }
        };
        let jwks = config.text(&field("jwks_uri"));
        Ok(TokenSettings {
            name,
            header: line(field("request_header"))?,
            optional: config.flag(&field("optional")),
            jwks: jwks.map(|uri| Source::read(uri, config, &field("jwks_uri"), env)).transpose()?,
            verify_signature: config.flag(&format!("verify_{name}_signature")),
            rules: Rules::read(config, name),
            introspection: Introspection::read(name, config, env)?,
            signing: Signing::read(name, config, env)?,
            original_header: line(format!("original_{name}_upstream_header"))?,
        })
    }
}

impl Rules {
    fn read(config: &Config<'_>, prefix: &str) -> Rules {
        let field = |rest: &str| format!("{prefix}_{rest}");
        let verify = |what: &str| config.flag(&format!("verify_{prefix}_{what}"));
        let scopes = if verify("scopes") { config.texts(&field("scopes_required")) } else { Vec::new() };
        // What newer versions have asks for nothing until it is set.
        let unless_off = |what: &str| !config.is_set(&format!("verify_{prefix}_{what}")) || verify(what);
        let claim = |what: &str, usual: &str| match config.texts(&field(&format!("{what}_claim"))) {
            way if way.is_empty() => vec![usual.to_owned()],
            way => way,
        };
        let allowed = [("issuer", "iss", "issuers"), ("subject", "sub", "subjects"), ("audience", "aud", "audiences")];
        let allowed = allowed.into_iter().filter(|(what, ..)| unless_off(what)).map(|(what, usual, several)| Allowed {
            what,
            claim: claim(what, usual),
            words: config.texts(&field(&format!("{several}_allowed"))),
        });
        let way = |way: &Value| -> Vec<String> {
            way.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rules {
            verify_expiry: verify("expiry"),
            expiry_claim: claim("expiry", "exp"),
            verify_notbefore: if config.is_set(&format!("verify_{prefix}_notbefore")) {
                verify("notbefore")
            } else {
                verify("expiry")
            },
            notbefore_claim: claim("notbefore", "nbf"),
            allowed: allowed.filter(|allowed| !allowed.words.is_empty()).collect(),
            required: config.list(&field("required_claims")).iter().map(way).filter(|way| !way.is_empty()).collect(),
            leeway: config.number(&field("leeway")).unwrap_or(0.0),
            scopes: scopes.iter().map(|list| list.split_whitespace().map(str::to_owned).collect()).collect(),
            scopes_claim: config.texts(&field("scopes_claim")),
            consumer_claim: config.texts(&field("consumer_claim")),
            consumer_by: config.texts(&field("consumer_by")),
        }
    }
}

impl Introspection {
    fn read(name: &str, config: &Config<'_>, env: &Env) -> Result<Option<Introspection>, String> {
        let prefix = format!("{name}_introspection");
        let field = |rest: &str| format!("{prefix}_{rest}");
        let enabled = config.flag(&format!("enable_{prefix}"));
        let Some(url) = config.text(&field("endpoint")).filter(|_| enabled) else { return Ok(None) };
        let timeout = config.number(&field("timeout")).unwrap_or(10_000.0).max(1.0);
        let options = HttpOptions {
            timeout: Duration::from_secs_f64((timeout / 1_000.0).min(1e9)),
            max_content: 256 << 10,
            ..HttpOptions::default()
        };
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(config.text(&field("hint")).map(|hint| ("token_type_hint", hint)));
        let parts = [form.finish(), config.text(&field("body_args")).unwrap_or_default().to_owned()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(Some(Introspection {
            url: Url::parse(url).map_err(|why| format!("config.{}: {why}", field("endpoint")))?,
            client: HttpClient::new(env, options),
            authorization: config.header_value(&field("authorization"))?.map(str::to_owned),
            form: parts.join("&"),
            jwt_claim: config.texts(&field("jwt_claim")),
            trust: config.flag(&format!("trust_{prefix}")),
            cache: config.flag(&format!("cache_{prefix}")),
            rules: Rules::read(config, &prefix),
        }))
    }
}

impl Signing {
    fn read(name: &str, config: &Config<'_>, env: &Env) -> Result<Option<Signing>, String> {
        let field = |rest: &str| format!("{name}_{rest}");
        let signs = !config.is_set(&field("signing")) || config.flag(&field("signing"));
        let header = config.text(&field("upstream_header")).filter(|header| signs && !header.is_empty());
        let Some(header) = header else {
            return Ok(None);
        };
        // `Authorization:Bearer` is a line and its scheme.
        let (header, scheme) = header.split_once(':').map_or((header, None), |(name, scheme)| (name, Some(scheme)));
        let scheme = scheme.map(str::trim).filter(|scheme| !scheme.is_empty());
        let valid = Fields::is_valid_name(header.as_bytes())
            && scheme.is_none_or(|scheme| Fields::is_valid_value(scheme.as_bytes()));
        if !valid {
            return Err(format!("config.{}: cannot be a header", field("upstream_header")));
        }
        let algorithm = config.text(&field("signing_algorithm")).unwrap_or("RS256");
        let claims = |map: &str| {
            let of = config.section(map);
            of.pairs().map(|(claim, value)| (claim.to_owned(), claim_value(value))).collect::<Vec<_>>()
        };
        let both = |kind: &str| [claims(&format!("{kind}_claims")), claims(&format!("{kind}_{name}_claims"))].concat();
        Ok(Some(Signing {
            keys: Source::read(config.text(&field("keyset")).unwrap_or("kong"), config, &field("keyset"), env)?,
            algorithm: Algorithm::parse(algorithm)
                .ok_or_else(|| format!("config.{}: unknown", field("signing_algorithm")))?,
            issuer: config.text(&field("issuer")).map(str::to_owned),
            header: header.to_owned(),
            scheme: scheme.map(str::to_owned),
            leeway: config.number(&field("upstream_leeway")).unwrap_or(0.0),
            add: both("add"),
            set: both("set"),
            remove: config.texts(&format!("remove_{name}_claims")),
        }))
    }
}

/// What a claim is set to: lists and objects may be given as JSON.
fn claim_value(value: &Value) -> Value {
    let json = value.as_str().filter(|text| text.starts_with(['[', '{']));
    json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}
