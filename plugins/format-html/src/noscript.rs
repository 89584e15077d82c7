//! Owns what the page shows where scripts do not run, as in artifact viewers that forbid them: the
//! tally and the first tests that did not pass.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::records::Test;

/// The largest number of tests in the list.
const MAX_LISTED: usize = 200;

/// The largest number of characters of a reason.
const MAX_REASON: usize = 500;

/// The tally, and the tests that did not pass.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    tally: BTreeMap<String, usize>,
    listed: Vec<Listed>,
    left_out: usize,
}

#[derive(Debug)]
struct Listed {
    name: String,
    status: String,
    reason: String,
}

impl Summary {
    pub(crate) fn add(&mut self, test: &Test) {
        *self.tally.entry(test.status.clone()).or_default() += 1;
        if matches!(&*test.status, "PASS" | "SKIP" | "CANCEL") {
            return;
        }
        if self.listed.len() == MAX_LISTED {
            self.left_out += 1;
            return;
        }
        let reason = test.reason.as_deref().unwrap_or_default();
        self.listed.push(Listed {
            name: test.name.clone(),
            status: test.status.clone(),
            reason: reason.chars().take(MAX_REASON).collect(),
        });
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<p>Scripts do not run here, so this is only a summary.</p><p>")?;
        for (status, count) in &self.tally {
            write!(f, "{} {count} ", Escaped(status))?;
        }
        f.write_str("</p><ul>")?;
        for test in &self.listed {
            let (status, name) = (Escaped(&test.status), Escaped(&test.name));
            write!(f, "<li>{status} {name}: {}</li>", Escaped(&test.reason))?;
        }
        f.write_str("</ul>")?;
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "<p>{more} more did not pass.</p>"),
        }
    }
}

/// Text as HTML.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
