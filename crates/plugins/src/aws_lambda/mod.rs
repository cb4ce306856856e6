//! `aws-lambda`: a function of AWS Lambda answers in place of the service.

mod event;
mod response;

use event::Shape;
use response::Responses;
use sdk::aws::{AssumeRole, CredentialProvider, CredentialSettings, Credentials, Environment, Signer};
use sdk::{
    Answer, Bytes, Config, Env, Exchange, Function, HttpClient, HttpOptions, HttpRequest, Phases, Plugin, PluginKind,
    Proxies, Step, Url, entities,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The plugin as the gateway knows it.
pub struct AwsLambda;

struct Instance {
    client: HttpClient,
    credentials: CredentialProvider,
    signer: Signer,
    /// Without content.
    request: HttpRequest,
    shape: Shape,
    responses: Responses,
    /// Clients get Lambda's own status when it refuses a call.
    preserves_status: bool,
}

/// A function that could not be invoked.
#[derive(Debug)]
struct Failure {
    status: u16,
    why: String,
}

/// The largest response of a function is 6 MiB, and what it is wrapped in may double that.
const MAX_CONTENT: usize = 16 << 20;

impl PluginKind for AwsLambda {
    fn name(&self) -> &'static str {
        "aws-lambda"
    }

    fn priority(&self) -> i32 {
        750
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("aws_lambda_proxy", Function::Check(check_proxy))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let environment = Environment::of_process();
        let region = config.text("aws_region").or_else(|| environment.region()).ok_or("no region specified")?;
        let region = region.to_owned();
        let millis = |field| Duration::from_millis(config.integer(field).unwrap_or(60_000));
        let options = HttpOptions {
            timeout: millis("timeout"),
            keepalive: millis("keepalive"),
            // As Kong, which takes any certificate; AWS' own must be good.
            verify: if config.is_set("ssl_verify") { config.flag("ssl_verify") } else { config.text("host").is_none() },
            max_content: MAX_CONTENT,
        };
        let mut client = HttpClient::new(env, options);
        if let Some(url) = config.text("proxy_url") {
            let url = Url::parse(url).map_err(|why| format!("config.proxy_url: {why}"))?;
            let proxy = Some((url.host().to_owned(), url.port()));
            client = client.through(Proxies { http: proxy.clone(), https: proxy, ..Proxies::default() });
        }
        Ok(Box::new(Instance {
            client,
            request: request(&config, &region)?,
            signer: Signer { region: region.clone(), service: "lambda".to_owned() },
            credentials: CredentialProvider::new(env, environment, credentials(&config, region)),
            shape: Shape::new(&config),
            responses: Responses::new(&config),
            preserves_status: config.flag("preserve_lambda_api_error_code"),
        }))
    }
}

impl Plugin for Instance {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY)
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let event = self.shape.event(exchange);
        Step::Wait(Box::pin(async move {
            let began = Instant::now();
            let invoked = self.invoke(event.into()).await;
            exchange.timing.upstream = Some(began.elapsed());
            let answer = match invoked {
                Ok(answer) => answer,
                Err(Failure { status, why }) => {
                    tracing::error!(request_id = exchange.id_str(), "a function could not be invoked: {why}");
                    Answer::error(exchange, status, &Answer::status_message(status))
                }
            };
            Step::Answer(answer)
        }))
    }
}

impl Instance {
    async fn invoke(&self, event: Bytes) -> Result<Answer, Failure> {
        let credentials = self.credentials.credentials().await?;
        let mut request = HttpRequest { content: event, ..self.request.clone() };
        self.signer.sign(&mut request, &credentials, jiff::Timestamp::now());
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        if response.status >= 400 {
            let content = String::from_utf8_lossy(&response.content);
            let status = if self.preserves_status && response.status < 600 { response.status } else { 500 };
            return Err(Failure { status, why: format!("status {}: {content}", response.status) });
        }
        Ok(self.responses.answer(response))
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Failure {
        Failure { status: 500, why }
    }
}

fn request(config: &Config<'_>, region: &str) -> Result<HttpRequest, String> {
    let name = config.text("function_name").ok_or("config.function_name: required")?;
    let host = config.text("host").map_or_else(|| format!("lambda.{region}.amazonaws.com"), str::to_owned);
    let scheme = if config.flag("disable_https") { "http" } else { "https" };
    let port = config.integer::<u16>("port").unwrap_or(443);
    let qualifier = config.text("qualifier").map(|q| format!("?Qualifier={}", escaped(q))).unwrap_or_default();
    let path = format!("/2015-03-31/functions/{}/invocations{qualifier}", escaped(name));
    let kind = config.text("invocation_type").unwrap_or("RequestResponse");
    let fields = [
        ("X-Amz-Invocation-Type", kind),
        ("X-Amz-Log-Type", config.text("log_type").unwrap_or("Tail")),
        ("Content-Type", "application/x-amz-json-1.1"),
    ];
    Ok(HttpRequest {
        method: "POST".to_owned(),
        url: Url::parse(&format!("{scheme}://{host}:{port}{path}"))?,
        fields: fields.into_iter().collect(),
        content: Bytes::new(),
    })
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn credentials(config: &Config<'_>, region: String) -> CredentialSettings {
    let given = config.text("aws_key").zip(config.text("aws_secret"));
    CredentialSettings {
        given: given.map(|(key, secret)| Credentials::of_user(key, secret)),
        region: Some(region),
        role: config.text("aws_assume_role_arn").map(|arn| AssumeRole {
            arn: arn.to_owned(),
            session_name: config.text("aws_role_session_name").unwrap_or("kong").to_owned(),
            endpoint: config.text("aws_sts_endpoint_url").map(str::to_owned),
        }),
        without_session: config.text("aws_imds_protocol_version") == Some("v1"),
    }
}

/// The check that the schema names.
fn check_proxy(plugin: &sdk::Record) -> Result<(), String> {
    let url = plugin.get("config").and_then(|config| config.get("proxy_url")).and_then(Value::as_str);
    match url.and_then(|url| url.split_once("://")) {
        Some((scheme, _)) if scheme != "http" => Err("proxy_url scheme must be http".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
