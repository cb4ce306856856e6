//! The parameters of a request to the authorization server: of its content, else of its query.

use sdk::{Args, Content, Exchange};

pub struct Parameters {
    query: Args,
    content: Option<Content>,
}

impl Parameters {
    pub fn of(exchange: &Exchange) -> Parameters {
        let with_content = matches!(exchange.request.method.as_str(), "POST" | "PUT" | "PATCH");
        Parameters {
            query: Args::parse(exchange.request.query().unwrap_or_default()),
            content: if with_content { Content::of(exchange) } else { None },
        }
    }

    /// Whether it is there, whatever it is.
    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    /// A parameter that is one string.
    pub fn text(&self, name: &str) -> Option<String> {
        match <[_; 1]>::try_from(self.values(name)) {
            Ok([value]) => String::from_utf8(value?).ok(),
            Err(_) => None,
        }
    }

    /// As [`Parameters::text`], where white space is as good as nothing.
    pub fn filled(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.trim().is_empty())
    }

    fn values(&self, name: &str) -> Vec<Option<Vec<u8>>> {
        let in_content = self.content.as_ref().map(|content| content.get_all(name)).unwrap_or_default();
        if in_content.is_empty() {
            self.query.get_all(name).map(|value| value.map(Into::into)).collect()
        } else {
            in_content
        }
    }
}
