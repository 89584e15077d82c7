//! Owns the settings that a plugin declares: their shapes, and which values are valid. Does not
//! know where values come from.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::convert::{self, AnswerBudget, ConvertError};
use crate::contract::data;
use persea_config::{Config, Origin, duration};
use persea_model::{Attribute, Attributes};

/// A setting that a plugin declares.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setting {
    /// The setting's name in the configuration.
    pub key: String,
    /// The type of its value, as the plugin names it; see [`Setting::expected`].
    pub shape: String,
    /// The value where the configuration has none; null for none.
    pub default_value: Attribute,
    /// The setting's purpose in one line.
    pub summary: String,
    /// Further data: `choices`, `least`, `most`, `secret`.
    pub more: Attributes,
}

/// The shapes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingShape {
    Text,
    Integer,
    Number,
    Boolean,
    Duration,
    List,
    IntegerList,
    Table,
}

impl SettingShape {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "duration" => Self::Duration,
            "list" => Self::List,
            "integer-list" => Self::IntegerList,
            "table" => Self::Table,
            _ => return None,
        })
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Integer => value.is_i64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Duration => nanoseconds(value).is_some(),
            Self::List => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Self::IntegerList => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_i64)),
            Self::Table => value.is_object(),
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Duration => "a number of seconds or a time such as `5m`",
            Self::List => "a list of texts",
            Self::IntegerList => "a list of whole numbers",
            Self::Table => "a table",
        }
    }
}

/// Reads a duration as the configuration writes it.
fn nanoseconds(value: &Value) -> Option<i64> {
    i64::try_from(duration(value)?.as_nanos()).ok()
}

impl Setting {
    pub(crate) fn new(
        setting: data::Setting,
        budget: &mut AnswerBudget,
    ) -> Result<Self, ConvertError> {
        let within = |error: ConvertError| error.within(&setting.key).within("settings");
        let default_value = convert::attribute(setting.default_value, budget);
        let more = convert::attributes(setting.more, budget);
        Ok(Self {
            default_value: default_value.map_err(within)?,
            more: more.map_err(within)?,
            key: setting.key.clone(),
            shape: setting.shape,
            summary: setting.summary,
        })
    }

    /// Whether the value is neither shown nor written to the journal.
    pub fn is_secret(&self) -> bool {
        self.more.get("secret") == Some(&true.into())
    }

    /// Whether the value is a table.
    pub fn is_table(&self) -> bool {
        SettingShape::parse(&self.shape) == Some(SettingShape::Table)
    }

    /// Returns the configured value of the setting and its origin; none if it is not set.
    pub fn configured<'a>(&self, config: &'a Config) -> Option<(Cow<'a, Value>, &'a Origin)> {
        if self.is_table() {
            let (value, origin) = config.declared_table(&self.key)?;
            return Some((Cow::Owned(value), origin));
        }
        let (value, origin) = config.declared(&self.key)?;
        Some((Cow::Borrowed(value), origin))
    }

    /// Returns what a value of the setting is, for the message "expected …".
    pub fn expected(&self) -> String {
        let shape = SettingShape::parse(&self.shape);
        let kind = shape.map_or("any value", SettingShape::expected);
        if let Some(choices) = self.choices() {
            return one_of(&choices);
        }
        match (self.bound("least"), self.bound("most")) {
            (None, None) => kind.to_owned(),
            (Some(least), None) => format!("{kind}, at least {least}"),
            (None, Some(most)) => format!("{kind}, at most {most}"),
            (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        }
    }

    /// Whether the setting takes a value of the configuration.
    pub fn accepts(&self, value: &Value) -> bool {
        let Some(shape) = SettingShape::parse(&self.shape) else {
            return true;
        };
        if !shape.fits(value) {
            return false;
        }
        if let Some(choices) = self.choices() {
            return value
                .as_str()
                .is_some_and(|text| choices.iter().any(|it| it == text));
        }
        let amount = match shape {
            SettingShape::Integer | SettingShape::Number => value.as_f64(),
            SettingShape::Duration => duration(value).map(|time| time.as_secs_f64()),
            SettingShape::Text
            | SettingShape::Boolean
            | SettingShape::List
            | SettingShape::IntegerList
            | SettingShape::Table => None,
        };
        amount.is_none_or(|amount| {
            self.bound("least").is_none_or(|least| amount >= least)
                && self.bound("most").is_none_or(|most| amount <= most)
        })
    }

    /// Returns a value of the configuration as the plugin receives it: a duration in nanoseconds.
    pub(crate) fn for_plugin(&self, value: &Value) -> Attribute {
        match SettingShape::parse(&self.shape) {
            Some(SettingShape::Duration) => nanoseconds(value).map_or(Attribute::Null, Into::into),
            Some(
                SettingShape::Text
                | SettingShape::Integer
                | SettingShape::Number
                | SettingShape::Boolean
                | SettingShape::List
                | SettingShape::IntegerList
                | SettingShape::Table,
            )
            | None => value.clone().into(),
        }
    }

    /// Returns an accepted value as the plugin receives it: a duration in nanoseconds.
    pub fn received(&self, value: Attribute) -> Attribute {
        match value.to_scalar() {
            Some(scalar) => self.for_plugin(&scalar),
            None => value,
        }
    }

    /// Returns the default as the plugin receives it; none without one.
    pub(crate) fn default_for_plugin(&self) -> Option<Attribute> {
        let default = (!self.default_value.is_null()).then_some(&self.default_value)?;
        Some(self.received(default.clone()))
    }

    /// Checks the declaration: bounds and choices of a wrong type, and a default that is not of the
    /// setting's own shape, are mistakes of the plugin.
    ///
    /// # Errors
    /// What is wrong, for a message.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { key, .. } = self;
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '=';
        if key.is_empty() || !key.chars().all(plain) {
            return Err(format!("{key:?} is no name of a setting"));
        }
        self.check_more()?;
        if self.default_value.is_null() {
            return Ok(());
        }
        let default = serde_json::from_str::<Value>(&self.default_value.to_string());
        match default.is_ok_and(|default| self.accepts(&default)) {
            true => Ok(()),
            false => Err(format!(
                "the default of its setting `{key}` is {}, and its values are {}",
                self.default_value,
                self.expected()
            )),
        }
    }

    /// Checks the types of what the host understands in `more`.
    fn check_more(&self) -> Result<(), String> {
        let check = |name: &str, expected: &str, is_valid: fn(&Attribute) -> bool| match self
            .more
            .get(name)
        {
            Some(value) if !value.is_null() && !is_valid(value) => Err(format!(
                "`{name}` of its setting `{}` is {value}, and not {expected}",
                self.key
            )),
            Some(_) | None => Ok(()),
        };
        let is_number = |value: &Attribute| matches!(value, Attribute::Number(_));
        check("choices", "a list of texts", |value| {
            let items = value.items();
            items.is_some_and(|items| items.into_iter().all(|item| item.into_text().is_some()))
        })?;
        check("least", "a number", is_number)?;
        check("most", "a number", is_number)?;
        check("secret", "true or false", |value| {
            matches!(value, Attribute::Boolean(_))
        })
    }

    fn choices(&self) -> Option<Vec<String>> {
        let choices = self.more.get("choices")?.items()?;
        Some(
            choices
                .into_iter()
                .filter_map(Attribute::into_text)
                .collect(),
        )
    }

    fn bound(&self, name: &str) -> Option<f64> {
        self.more.get(name)?.to_scalar()?.as_f64()
    }
}

/// Lists the only valid texts.
fn one_of(choices: &[String]) -> String {
    let all: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
    match all.as_slice() {
        [] => "nothing: the plugin allows no value".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn setting(shape: &str, more: Value) -> Setting {
        Setting {
            key: "a.b".into(),
            shape: shape.into(),
            default_value: Attribute::Null,
            summary: String::new(),
            more: serde_json::from_value(more).unwrap(),
        }
    }

    #[test]
    fn value_fits_its_shape_only() {
        let values = [
            ("text", json!("x")),
            ("integer", json!(-3)),
            ("number", json!(1.5)),
            ("boolean", json!(true)),
            ("list", json!(["x"])),
            ("integer-list", json!([3])),
            ("table", json!({"x": 1})),
        ];
        for (shape, _) in &values {
            let setting = setting(shape, json!({}));
            for (other, value) in &values {
                let fits = shape == other || (*shape == "number" && *other == "integer");
                assert_eq!(setting.accepts(value), fits, "{shape}: {value}");
            }
        }
        let unknown = setting("colour", json!({}));
        assert!(values.iter().all(|(_, value)| unknown.accepts(value)));
        assert!(!setting("list", json!({})).accepts(&json!([1])));
    }

    #[test]
    fn duration_reaches_the_plugin_in_nanoseconds() {
        let setting = setting("duration", json!({"least": 1, "most": 600}));
        assert_eq!(
            setting.for_plugin(&json!("5m")),
            Attribute::from(300_000_000_000_i64)
        );
        assert_eq!(
            setting.for_plugin(&json!(1.5)),
            Attribute::from(1_500_000_000_i64)
        );
        assert!(setting.accepts(&json!("10m")) && !setting.accepts(&json!("11m")));
        assert!(!setting.accepts(&json!(0.5)) && !setting.accepts(&json!("soon")));
        let expected = "a number of seconds or a time such as `5m` from 1 to 600";
        assert_eq!(setting.expected(), expected);
    }

    #[test]
    fn choices_are_the_only_valid_texts() {
        let setting = setting("text", json!({"choices": ["a", "b", "c"]}));
        assert!(setting.accepts(&json!("b")) && !setting.accepts(&json!("d")));
        assert_eq!(setting.expected(), "`a`, `b` or `c`");
    }

    #[test]
    fn bounds_and_choices_have_their_types() {
        let valid = json!({"choices": ["a"], "least": 1, "most": 2.5, "secret": false, "x": []});
        assert_eq!(setting("text", valid).check(), Ok(()));
        assert_eq!(setting("text", json!({"least": null})).check(), Ok(()));
        for (name, wrong) in [
            ("choices", json!({})),
            ("choices", json!(["a", 1])),
            ("choices", json!("a")),
            ("least", json!("none")),
            ("most", json!(true)),
            ("secret", json!(1)),
        ] {
            let refused = setting("text", json!({ name: wrong })).check().unwrap_err();
            let words = format!("`{name}` of its setting `a.b` is ");
            assert!(refused.starts_with(&words), "{refused}");
        }
    }

    #[test]
    fn default_has_the_shape_of_its_setting() {
        let mut setting = setting("integer", json!({"least": 1}));
        assert_eq!(setting.check(), Ok(()));
        setting.default_value = 0_i64.into();
        assert_eq!(
            setting.check().unwrap_err(),
            "the default of its setting `a.b` is 0, and its values are a whole number, at least 1"
        );
        setting.default_value = Attribute::from("x");
        assert!(setting.check().is_err());
        setting.key = "a b".into();
        assert_eq!(
            setting.check().unwrap_err(),
            "\"a b\" is no name of a setting"
        );
    }
}
