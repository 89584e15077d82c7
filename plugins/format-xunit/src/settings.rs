//! Owns the settings of the report. The first two have their names from Avocado.

use persea_plugin_sdk::SettingDescription;
use persea_plugin_sdk::log::{Level, log};
use persea_plugin_sdk::prelude::*;

pub(crate) const JOB_NAME: OptionalSetting<Text> = Setting::text("job.run.result.xunit.job_name")
    .summary("The name of the suite in results.xml, instead of the job's name");

pub(crate) const RERUN_ELEMENTS: Setting<Boolean> =
    Setting::boolean("job.run.result.xunit.rerun_elements")
        .default(false)
        .summary("Whether failed attempts of a retried test are elements of results.xml");

pub(crate) const TEST_PROPERTIES: Setting<Boolean> =
    Setting::boolean("job.run.result.xunit.test_properties")
        .default(false)
        .summary("Whether each test of results.xml has what it used as properties");

const MAX_TEST_LOG_CHARS: &str = "job.run.result.xunit.max_test_log_chars";

/// Default of [`MAX_TEST_LOG_CHARS`], in bytes.
const DEFAULT_LOG_SIZE: u32 = 100_000;

/// Describes [`MAX_TEST_LOG_CHARS`]. No shape of the contract is a number of bytes or a text such
/// as `100k`, so the host takes any value.
pub(crate) fn max_test_log_chars() -> SettingDescription {
    SettingDescription {
        key: MAX_TEST_LOG_CHARS.to_owned(),
        shape: "size".to_owned(),
        default_value: DEFAULT_LOG_SIZE.into(),
        summary:
            "How much of each output stream of a failed test goes into results.xml: bytes, or \
                  a text such as 100k"
                .to_owned(),
        more: Attributes::new(),
    }
}

/// Settings of a job's report.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    /// Name of the suite, instead of the job's name.
    pub(crate) job_name: Option<String>,
    /// Limit of the standard output and of the standard error of a test, in bytes each.
    pub(crate) max_test_log_chars: u64,
    /// Whether failed attempts are written as elements, which Avocado's schema does not allow.
    pub(crate) rerun_elements: bool,
    /// Whether tests have properties, which neither Jenkins' schema nor Avocado's allows.
    pub(crate) test_properties: bool,
}

impl Settings {
    /// Reads the settings. A size that cannot be read is reported in the log and counts as not set:
    /// a report with the default is better than none.
    pub(crate) fn read(settings: &Attributes) -> Self {
        let job_name = JOB_NAME.get(settings).filter(|name| !name.is_empty());
        let size = settings.get(MAX_TEST_LOG_CHARS);
        let size = size
            .filter(|value| **value != Value::Null)
            .and_then(|value| {
                let size = parse_size(value);
                if size.is_none() {
                    let message = format!(
                        "{MAX_TEST_LOG_CHARS} is not a number of bytes or a text such as 100k"
                    );
                    log(Level::Warn, &message);
                }
                size
            });
        Self {
            job_name: job_name.map(str::to_owned),
            max_test_log_chars: size.unwrap_or(DEFAULT_LOG_SIZE.into()),
            rerun_elements: RERUN_ELEMENTS.get(settings),
            test_properties: TEST_PROPERTIES.get(settings),
        }
    }
}

/// Reads a number of bytes, or a text such as `100k` (Avocado's `DataSize`: b, k, m, g in powers of
/// 1024).
fn parse_size(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Integer(bytes) => return u64::try_from(*bytes).ok(),
        Value::Text(text) => text.trim(),
        Value::Null | Value::Boolean(_) | Value::Number(_) | Value::Json(_) => return None,
    };
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let factor = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_avocados_units() {
        let size = |value: Value| {
            Settings::read(&Attributes::new().with(MAX_TEST_LOG_CHARS, value)).max_test_log_chars
        };
        assert_eq!(size(5.into()), 5);
        assert_eq!(size("100k".into()), 102_400);
        assert_eq!(size("2M".into()), 2 << 20);
        for wrong in [
            Value::from(""),
            "k".into(),
            "1x".into(),
            (-1).into(),
            Value::Null,
            1.5.into(),
            "99999999999999999999g".into(),
            "18446744073709551615g".into(),
        ] {
            assert_eq!(
                size(wrong.clone()),
                u64::from(DEFAULT_LOG_SIZE),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn unset_settings_have_defaults() {
        let default = Settings {
            job_name: None,
            max_test_log_chars: DEFAULT_LOG_SIZE.into(),
            rerun_elements: false,
            test_properties: false,
        };
        assert_eq!(Settings::read(&Attributes::new()), default);
        let named =
            |name: &str| Settings::read(&Attributes::new().with(JOB_NAME.key(), name)).job_name;
        assert_eq!(named("nightly").as_deref(), Some("nightly"));
        assert_eq!(named(""), None);
    }
}
