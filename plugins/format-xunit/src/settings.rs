//! The settings of the report, under the names that they have in Avocado.

use persea_plugin_sdk::Attributes;
use serde_json::Value;

pub(crate) const JOB_NAME: &str = "job.run.result.xunit.job_name";
pub(crate) const MAX_TEST_LOG_CHARS: &str = "job.run.result.xunit.max_test_log_chars";

pub(crate) const RERUN_ELEMENTS: &str = "job.run.result.xunit.rerun_elements";

/// How much of each stream of a test is kept without the setting, in bytes.
const DEFAULT_LOG: u64 = 100_000;

/// What the user wants of the report.
#[derive(Debug, PartialEq)]
pub(crate) struct Settings {
    /// The name of the suite, in place of the job's.
    pub(crate) job_name: Option<String>,
    /// How much of each stream of a test is kept, in bytes.
    pub(crate) max_test_log_chars: u64,
    /// Whether attempts that failed have elements of their own, which Avocado's schema lacks.
    pub(crate) rerun_elements: bool,
}

impl Settings {
    /// Takes them from `job-started`. What can't be read counts as not set: the host has checked what it knows.
    pub(crate) fn of(data: &Attributes) -> Self {
        let all: Value = data
            .json("settings")
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let job_name = all.get(JOB_NAME).and_then(Value::as_str);
        Self {
            job_name: job_name.filter(|name| !name.is_empty()).map(str::to_owned),
            max_test_log_chars: all
                .get(MAX_TEST_LOG_CHARS)
                .and_then(size)
                .unwrap_or(DEFAULT_LOG),
            rerun_elements: all.get(RERUN_ELEMENTS) == Some(&Value::Bool(true)),
        }
    }
}

/// A number of bytes, or a text such as `100k` (Avocado's `DataSize`: b, k, m, g, by 1024).
fn size(value: &Value) -> Option<u64> {
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
    use persea_plugin_sdk::Value as Open;

    fn of(json: &str) -> Settings {
        Settings::of(&Attributes::new().with("settings", Open::json(json)))
    }

    #[test]
    fn sizes_are_written_as_in_avocado() {
        let size =
            |json: &str| of(&format!("{{\"{MAX_TEST_LOG_CHARS}\": {json}}}")).max_test_log_chars;
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
            assert_eq!(size(wrong), DEFAULT_LOG, "{wrong}");
        }
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let default = Settings {
            job_name: None,
            max_test_log_chars: DEFAULT_LOG,
            rerun_elements: false,
        };
        assert_eq!(Settings::of(&Attributes::new()), default);
        assert_eq!(of("{}"), default);
        assert_eq!(of("no json"), default);
        assert_eq!(
            of(&format!("{{\"{JOB_NAME}\": \"nightly\"}}"))
                .job_name
                .as_deref(),
            Some("nightly")
        );
    }
}
