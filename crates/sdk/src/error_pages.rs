//! The bodies of error answers: Kong's four formats, or templates of the operator's own.

/// A format in which errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    Json,
    Html,
    Xml,
    #[default]
    Plain,
}

/// How error bodies look; from the settings `error_default_type` and `error_template_*`.
#[derive(Clone, Debug, Default)]
pub struct ErrorPages {
    /// For the proxy's own errors, when the client does not say what it accepts.
    pub default_format: ErrorFormat,
    /// Templates in place of Kong's, indexed by [`ErrorFormat`]; the first `%s` is the message, the second the
    /// request id, `%%` a percent sign.
    pub templates: [Option<String>; 4],
}

impl ErrorPages {
    /// Kong's defaults.
    pub const DEFAULT: ErrorPages =
        ErrorPages { default_format: ErrorFormat::Plain, templates: [None, None, None, None] };

    /// The body of an error, with the message escaped as the format needs it.
    pub fn render(&self, format: ErrorFormat, message: &str, request_id: &str) -> String {
        let template = self.templates[format as usize].as_deref().unwrap_or(format.template());
        let mut out = String::with_capacity(template.len() + message.len() + request_id.len());
        let mut values = [message, request_id].into_iter();
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            match rest[at + 1..].chars().next() {
                Some('s') => format.escape(values.next().unwrap_or_default(), &mut out),
                Some('%') => out.push('%'),
                _ => {
                    out.push('%');
                    rest = &rest[at + 1..];
                    continue;
                }
            }
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        out
    }
}

impl ErrorFormat {
    /// By the values of `error_default_type`.
    pub fn parse(media_type: &str) -> Option<ErrorFormat> {
        Some(match media_type {
            "application/json" => ErrorFormat::Json,
            "text/html" => ErrorFormat::Html,
            "application/xml" => ErrorFormat::Xml,
            "text/plain" => ErrorFormat::Plain,
            _ => return None,
        })
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            ErrorFormat::Json => "application/json; charset=utf-8",
            ErrorFormat::Html => "text/html; charset=utf-8",
            ErrorFormat::Xml => "application/xml; charset=utf-8",
            ErrorFormat::Plain => "text/plain; charset=utf-8",
        }
    }

    /// Kong's template: the first `%s` is the message, the second the request id.
    pub fn template(self) -> &'static str {
        match self {
            ErrorFormat::Json => "{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}",
            ErrorFormat::Plain => "%s\nrequest_id: %s\n",
            ErrorFormat::Xml => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n  \
                    <requestid>%s</requestid>\n</error>\n"
            }
            ErrorFormat::Html => concat!(
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  \
                    </head>\n",
                "  <body>\n    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  </body>\n</html>\n"
            ),
        }
    }

    fn escape(self, text: &str, out: &mut String) {
        match self {
            ErrorFormat::Plain => out.push_str(text),
            ErrorFormat::Json => {
                let quoted = serde_json::Value::from(text).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            ErrorFormat::Html | ErrorFormat::Xml => {
                for c in text.chars() {
                    match c {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        other => out.push(other),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_templates_are_filled_in() {
        let mut pages = ErrorPages::default();
        pages.templates[ErrorFormat::Html as usize] = Some("100%% %s|%s|%s 5%".to_owned());
        assert_eq!(pages.render(ErrorFormat::Html, "a%s<", "id"), "100% a%s&lt;|id| 5%");
        assert_eq!(ErrorFormat::parse("text/html"), Some(ErrorFormat::Html));
        assert_eq!(ErrorFormat::parse("x"), None);
    }
}
