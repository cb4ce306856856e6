//! What a new password must be (`admin_gui_auth_password_complexity`): Kong's presets, or rules in the words of
//! passwdqc, whose way of counting both go by.

use serde_json::Value;

/// How long passwords must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complexity {
    rules: Option<Rules>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules {
    /// By what a password is made of: one kind of characters, two, a passphrase, three, four. `None`: never enough.
    min: [Option<usize>; 5],
    max: usize,
    /// The words of a passphrase; 0: there are none.
    words: usize,
}

impl Complexity {
    /// The rules that a setting has; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Complexity, String> {
        if text.is_empty() {
            return Ok(Complexity::default());
        }
        let object = serde_json::from_str::<Value>(text).ok();
        let object = object.as_ref().and_then(Value::as_object).ok_or("must be a JSON object")?;
        let mut rules = Rules { min: [None, Some(24), Some(11), Some(8), Some(7)], max: 72, words: 3 };
        for (name, value) in object {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let number = || value.parse().map_err(|_| format!("{name} must be a number"));
            match name.as_str() {
                "kong-preset" => rules = Rules::preset(&value).ok_or("kong-preset must be min_8, min_12 or min_20")?,
                "min" => rules.min = lengths(&value).ok_or("min must be five numbers, or 'disabled', with commas")?,
                "max" => rules.max = number()?,
                "passphrase" => rules.words = number()?,
                other => return Err(format!("'{other}' is not one of kong-preset, min, max and passphrase")),
            }
        }
        Ok(Complexity { rules: Some(rules) })
    }

    /// Whether a password is good enough.
    pub fn allows(&self, password: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.allow(password))
    }
}

impl Rules {
    /// So many characters of at least three kinds.
    fn preset(name: &str) -> Option<Rules> {
        let length = match name {
            "min_8" => 8,
            "min_12" => 12,
            "min_20" => 20,
            _ => return None,
        };
        Some(Rules { min: [None, None, None, Some(length), Some(length)], max: 72, words: 0 })
    }

    fn allow(&self, password: &str) -> bool {
        let length = password.chars().count();
        let enough = |at: usize| self.min[at].is_some_and(|min| length >= min);
        let by_kinds = match kinds(password) {
            0 => false,
            1 => enough(0),
            2 => enough(1),
            3 => enough(3),
            _ => enough(4),
        };
        let words = password.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).count();
        let is_passphrase = self.words > 0 && words >= self.words;
        length <= self.max && (by_kinds || is_passphrase && enough(2))
    }
}

/// How many kinds of characters count: small and capital letters, digits and others. A capital letter at the beginning
/// and a digit at the end are what everybody adds, and do not.
fn kinds(password: &str) -> usize {
    let all: Vec<char> = password.chars().collect();
    let last = all.len().saturating_sub(1);
    let counted = |at: usize, c: char| !(at == 0 && c.is_uppercase() || at == last && c.is_numeric());
    let has = |is: fn(char) -> bool| all.iter().enumerate().any(|(at, c)| counted(at, *c) && is(*c));
    let kinds: [fn(char) -> bool; 4] = [char::is_lowercase, char::is_uppercase, char::is_numeric, |c| {
        !c.is_lowercase() && !c.is_uppercase() && !c.is_numeric()
    }];
    kinds.into_iter().filter(|is| has(*is)).count()
}

/// `disabled,24,11,8,7`: no length is greater than the one before.
fn lengths(text: &str) -> Option<[Option<usize>; 5]> {
    let mut lengths = [None; 5];
    let mut words = text.split(',').map(str::trim);
    for length in &mut lengths {
        *length = match words.next()? {
            "disabled" => None,
            word => Some(word.parse().ok()?),
        };
    }
    let known: Vec<usize> = lengths.iter().flatten().copied().collect();
    (words.next().is_none() && known.is_sorted_by(|a, b| a >= b)).then_some(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(setting: &str, password: &str) -> bool {
        Complexity::parse(setting).unwrap().allows(password)
    }

    #[test]
    fn presets_want_three_kinds() {
        let preset = r#"{ "kong-preset": "min_8" }"#;
        for good in ["aB3aB3aB", "a-b3c-d4e", "x1Y2z3w4"] {
            assert!(allowed(preset, good), "{good}");
        }
        for bad in ["", "aB3a-B3", "alllowercase", "Password1", "lower123case"] {
            assert!(!allowed(preset, bad), "{bad}");
        }
        assert!(!allowed(r#"{ "kong-preset": "min_20" }"#, "aB3-aB3-aB3-aB3-aB3"));
    }

    #[test]
    fn rules_of_ones_own() {
        let rules = r#"{ "min": "disabled,24,11,9,8", "max": "30", "passphrase": 3 }"#;
        assert!(allowed(rules, "aB3-aB3-"));
        assert!(allowed(rules, "three small words"));
        assert!(!allowed(rules, "two smallwords"));
        assert!(!allowed(rules, "aB3-aB3-aB3-aB3-aB3-aB3-aB3-aB3"), "too long");
        assert!(allowed("", "x"), "without rules");
    }

    #[test]
    fn settings_that_say_something_else() {
        for wrong in [
            "8",
            "[]",
            "{\"kong-preset\": \"min_9\"}",
            "{\"min\": \"8\"}",
            "{\"min\": \"1,2,3,4,5\"}",
            "{\"length\": 8}",
        ] {
            assert!(Complexity::parse(wrong).is_err(), "{wrong}");
        }
    }
}
