//! `underscores_in_headers` and `ignore_invalid_headers`: field lines of requests that are dropped for their names.

use wire::Fields;

/// Which names are dropped. What is no field name at all never gets this far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    /// Those with an underscore.
    pub drop_underscores: bool,
    /// Those with other characters than letters, digits, dash and underscore.
    pub drop_unusual: bool,
}

impl FieldNames {
    /// Drops lines of a request that has just been read.
    pub fn apply(self, fields: &mut Fields) {
        if self == FieldNames::default() {
            return;
        }
        fields.retain(|_, name, _| !name.bytes().any(|b| self.drops(b)));
    }

    fn drops(self, b: u8) -> bool {
        match b {
            b'_' => self.drop_underscores,
            b'-' => false,
            b => self.drop_unusual && !b.is_ascii_alphanumeric(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let sent = ["X-A", "x_b", "x.c", "X1"];
        for (names, kept) in [
            (FieldNames::default(), &["X-A", "x_b", "x.c", "X1"][..]),
            (FieldNames { drop_underscores: true, drop_unusual: false }, &["X-A", "x.c", "X1"]),
            (FieldNames { drop_underscores: false, drop_unusual: true }, &["X-A", "x_b", "X1"]),
            (FieldNames { drop_underscores: true, drop_unusual: true }, &["X-A", "X1"]),
        ] {
            let mut fields: Fields = sent.iter().map(|name| (*name, "v")).collect();
            names.apply(&mut fields);
            assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), kept, "{names:?}");
        }
    }
}
