//! Owns the settings of the report. The first two have their names from Avocado.

use persea_plugin_sdk::Attributes;
use serde_json::Value;

pub(crate) const JOB_NAME: &str = "job.run.result.xunit.job_name";
pub(crate) const MAX_TEST_LOG_CHARS: &str = "job.run.result.xunit.max_test_log_chars";
pub(crate) const RERUN_ELEMENTS: &str = "job.run.result.xunit.rerun_elements";

/// Default of [`MAX_TEST_LOG_CHARS`], in bytes.
const DEFAULT_LOG_SIZE: u64 = 100_000;

/// Settings of a job's report.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    /// Name of the suite, instead of the job's name.
    pub(crate) job_name: Option<String>,
    /// Limit of the standard output and of the standard error of a test, in bytes each.
    pub(crate) max_test_log_chars: u64,
    /// Whether failed attempts are written as elements, which Avocado's schema does not allow.
    pub(crate) rerun_elements: bool,
}

impl Settings {
    /// Reads the settings from the data of the event `job-started`. A value of the wrong type
    /// counts as not set: the host checks the types of settings before a job starts.
    pub(crate) fn from_job(data: &Attributes) -> Self {
        let all: Value = data
            .json("settings")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let job_name = all.get(JOB_NAME).and_then(Value::as_str);
        Self {
            job_name: job_name.filter(|name| !name.is_empty()).map(str::to_owned),
            max_test_log_chars: all
                .get(MAX_TEST_LOG_CHARS)
                .and_then(parse_size)
                .unwrap_or(DEFAULT_LOG_SIZE),
            rerun_elements: all.get(RERUN_ELEMENTS) == Some(&Value::Bool(true)),
        }
    }
}

/// Reads a number of bytes, or a text such as `100k` (Avocado's `DataSize`: b, k, m, g in powers of
/// 1024).
fn parse_size(value: &Value) -> Option<u64> {
    let Value::String(text) = value else {
        return value.as_u64();
    };
    let text = text.trim();
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
    use persea_plugin_sdk::Value as AttributeValue;

    fn settings(json: &str) -> Settings {
        Settings::from_job(&Attributes::new().with("settings", AttributeValue::json(json)))
    }

    #[test]
    fn sizes_have_avocados_units() {
        let size = |json: &str| {
            settings(&format!("{{\"{MAX_TEST_LOG_CHARS}\": {json}}}")).max_test_log_chars
        };
        assert_eq!(size("5"), 5);
        assert_eq!(size("\"100k\""), 102_400);
        assert_eq!(size("\"2M\""), 2 << 20);
        for wrong in [
            "\"\"",
            "\"k\"",
            "\"1x\"",
            "-1",
            "null",
            "\"99999999999999999999g\"",
            "\"18446744073709551615g\"",
        ] {
            assert_eq!(size(wrong), DEFAULT_LOG_SIZE, "{wrong}");
        }
    }

    #[test]
    fn unset_settings_have_defaults() {
        let default = Settings {
            job_name: None,
            max_test_log_chars: DEFAULT_LOG_SIZE,
            rerun_elements: false,
        };
        assert_eq!(Settings::from_job(&Attributes::new()), default);
        assert_eq!(settings("{}"), default);
        assert_eq!(settings("no json"), default);
        assert_eq!(
            settings(&format!("{{\"{JOB_NAME}\": \"nightly\"}}"))
                .job_name
                .as_deref(),
            Some("nightly")
        );
    }
}
