//! Where servers of different makes expect tags.

/// How tags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagStyle {
    Dogstatsd,
    Influxdb,
    Librato,
    Signalfx,
}

impl TagStyle {
    /// By `tag_style`.
    pub fn parse(name: &str) -> Result<TagStyle, String> {
        Ok(match name {
            "dogstatsd" => TagStyle::Dogstatsd,
            "influxdb" => TagStyle::Influxdb,
            "librato" => TagStyle::Librato,
            "signalfx" => TagStyle::Signalfx,
            other => return Err(format!("config.tag_style: unknown '{other}'")),
        })
    }

    /// A line: the metric's name, its value with kind and rate, and tags.
    pub fn line(self, name: &str, value: &str, tags: &[(&str, String)]) -> String {
        let separator = if self == TagStyle::Dogstatsd { ':' } else { '=' };
        let tags: Vec<String> = tags.iter().map(|(tag, value)| format!("{tag}{separator}{value}")).collect();
        let tags = tags.join(",");
        match self {
            TagStyle::Dogstatsd => format!("{name}:{value}|#{tags}"),
            TagStyle::Influxdb => format!("{name},{tags}:{value}"),
            TagStyle::Librato => format!("{name}#{tags}:{value}"),
            TagStyle::Signalfx => format!("{name}[{tags}]:{value}"),
        }
    }
}
