//! Ways to what is inside JSON: `top.sub`, `list[*].name`, `list[2]`.

/// The way to a value, or to several.
#[derive(Clone, Debug, PartialEq)]
pub struct Path(pub Vec<Segment>);

/// A step on it.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    Member(String),
    /// Each element of a list.
    All,
    /// An element of a list, from 0.
    Element(usize),
}

impl Path {
    /// A member of the outermost object, whatever is in its name.
    pub fn member(name: &str) -> Path {
        Path(vec![Segment::Member(name.to_owned())])
    }

    /// A way into lists and objects. A bracket that is none of a list's belongs to the name.
    pub fn parse(text: &str) -> Path {
        let mut segments = Vec::new();
        for part in text.split('.') {
            let mut name = part;
            let mut indexes = Vec::new();
            while let Some((before, index)) = last_index(name) {
                indexes.push(index);
                name = before;
            }
            if !name.is_empty() || indexes.is_empty() {
                segments.push(Segment::Member(name.to_owned()));
            }
            segments.extend(indexes.into_iter().rev());
        }
        Path(segments)
    }
}

/// What stands before a `[*]` or `[N]` at the end, and that.
fn last_index(text: &str) -> Option<(&str, Segment)> {
    let (before, inner) = text.strip_suffix(']')?.rsplit_once('[')?;
    let segment = match inner {
        "*" => Segment::All,
        number => Segment::Element(number.parse::<usize>().ok()?.checked_sub(1)?),
    };
    Some((before, segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_members_and_elements() {
        let member = |name: &str| Segment::Member(name.to_owned());
        assert_eq!(Path::parse("a").0, [member("a")]);
        assert_eq!(
            Path::parse("customers[*].info.phone").0,
            [member("customers"), Segment::All, member("info"), member("phone")]
        );
        assert_eq!(Path::parse("m[2][*]").0, [member("m"), Segment::Element(1), Segment::All]);
        assert_eq!(Path::parse("[*].x").0, [Segment::All, member("x")]);
        assert_eq!(Path::parse("a[0]").0, [member("a[0]")]);
        assert_eq!(Path::parse("a[b]").0, [member("a[b]")]);
        assert_eq!(Path::member("a.b[*]").0, [member("a.b[*]")]);
    }
}
