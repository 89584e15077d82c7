//! Owns why a test has its result: the texts of `t.Error` and `t.Skip`, panics, and fatal errors of
//! Go's runtime, in what was printed.

use persea_exec_command::results::{TestResult, Verdict, one_line};

/// The panic of Go where a test ends its process with code 0 (`-test.paniconexit0`).
const EXITED: &str = "unexpected call to os.Exit(0) during test";

/// The reason of a failure that nothing explains.
const SILENT: &str = "it failed without a message";

/// The beginnings of lines with which Go's runtime ends a process.
const CRASHES: [&str; 4] = ["panic: ", "fatal error: ", "runtime: out of memory", "SIG"];

/// A package whose tests run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Package {
    pub(crate) import_path: String,
    /// The absolute path of its directory.
    pub(crate) directory: String,
}

/// What a test has printed.
pub(crate) struct Printed<'a> {
    pub(crate) output: &'a str,
    /// The texts that Go has marked as failures.
    pub(crate) errors: &'a [String],
}

/// A text of `t.Log`, `t.Error` or the like, with its place.
#[derive(Debug, PartialEq)]
struct Entry {
    file: String,
    line: i64,
    text: String,
}

/// A panic, or another end that Go's runtime has described.
#[derive(Debug, PartialEq)]
pub(crate) struct Crash {
    /// In one line.
    pub(crate) message: String,
    /// The place in a file of the package.
    pub(crate) place: Option<(String, i64)>,
    /// All that was printed about it.
    text: String,
}

/// Adds the reason of a result, and its place in the source.
pub(crate) fn explain(result: &mut TestResult, printed: &Printed<'_>, package: &Package) {
    match result.verdict {
        Verdict::Failed => explain_failure(result, printed, package),
        Verdict::Skipped => {
            let entry = entries(printed.output).pop();
            let text = entry.as_ref().map(|entry| one_line(&entry.text));
            let text = text.filter(|text| !text.is_empty());
            result.reason = Some(text.unwrap_or_else(|| "skipped".to_owned()));
            set_place(result, entry.map(|entry| (entry.file, entry.line)));
        }
        Verdict::Unknown => result.reason = Some("it has no result".to_owned()),
        Verdict::Passed | Verdict::FailedAsExpected => {}
    }
}

fn explain_failure(result: &mut TestResult, printed: &Printed<'_>, package: &Package) {
    if let Some(crash) = crash(printed.output, package) {
        crash.describe(result);
        for section in &mut result.sections {
            if section.reason.as_deref() == Some(SILENT) {
                crash.describe(section);
            }
        }
        return;
    }
    result.failures = Some(match printed.errors {
        [] => printed.output.to_owned(),
        errors => errors.concat(),
    });
    let marked: Vec<Entry> = printed.errors.iter().flat_map(|it| entries(it)).collect();
    let of = |verdict| {
        let is_it = move |section: &&TestResult| section.verdict == verdict;
        result.sections.iter().filter(is_it)
    };
    let sections: Vec<&TestResult> = of(Verdict::Failed).collect();
    if let (true, true, Some(section)) = (
        sections.is_empty(),
        printed.errors.is_empty(),
        of(Verdict::Unknown).next(),
    ) {
        // Nobody knows either whether the whole would pass.
        result.reason = section.reason.clone();
        result.verdict = Verdict::Unknown;
        return;
    }
    let (entry, others) = match (marked.is_empty(), sections.as_slice()) {
        (false, _) => (marked.first(), marked.len() - 1),
        (true, []) => {
            let all = entries(printed.output);
            // Nothing says which texts are failures, but a fatal one is the last.
            let reason = all.last().map(|entry| entry.reason());
            let place = all.into_iter().next_back().map(|it| (it.file, it.line));
            result.reason = reason.or_else(|| of_example(printed.output));
            result.reason.get_or_insert_with(|| SILENT.to_owned());
            set_place(result, place);
            return;
        }
        (true, [first, others @ ..]) => {
            let more = match others.len() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let name = first.path.last().map(String::as_str).unwrap_or_default();
            let why = first.reason.as_deref().unwrap_or_default();
            result.reason = Some(format!("subtest {name}: {why}{more}"));
            return;
        }
    };
    let more = match others {
        0 => String::new(),
        1 => " (and 1 more failure)".to_owned(),
        more => format!(" (and {more} more failures)"),
    };
    result.reason = entry.map(|entry| format!("{}{more}", entry.reason()));
    let place = entry.map(|entry| (entry.file.clone(), entry.line));
    set_place(result, place);
}

fn set_place(result: &mut TestResult, place: Option<(String, i64)>) {
    if let Some((file, line)) = place {
        (result.file, result.line) = (Some(file), Some(line));
    }
}

/// What an example has printed in place of what it should.
fn of_example(output: &str) -> Option<String> {
    let (_, rest) = output.split_once("got:\n")?;
    let (got, want) = rest.split_once("want:\n")?;
    Some(format!("got: {}; want: {}", one_line(got), one_line(want)))
}

impl Entry {
    fn reason(&self) -> String {
        format!("{}:{}: {}", self.file, self.line, one_line(&self.text))
    }
}

/// Reads the texts in an output: `    a_test.go:4: text`, whose further lines are indented deeper.
fn entries(output: &str) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    let mut depth = None;
    for line in output.lines() {
        let rest = line.trim_start_matches(' ');
        let indentation = line.len() - rest.len();
        if let Some(entry) = entry(rest) {
            all.push(entry);
            depth = Some(indentation);
        } else if depth.is_some_and(|depth| indentation > depth)
            && let Some(entry) = all.last_mut()
        {
            entry.text.push('\n');
            entry.text.push_str(rest);
        } else {
            depth = None;
        }
    }
    all
}

fn entry(line: &str) -> Option<Entry> {
    let (file, rest) = line.split_once(".go:")?;
    let (number, text) = rest.split_once(':')?;
    if file.contains(char::is_whitespace) || file.contains('/') {
        return None;
    }
    Some(Entry {
        file: format!("{file}.go"),
        line: number.parse().ok()?,
        text: text.strip_prefix(' ').unwrap_or(text).to_owned(),
    })
}

/// Returns the first panic or fatal error in an output.
pub(crate) fn crash(output: &str, package: &Package) -> Option<Crash> {
    let is_crash = |line: &&str| CRASHES.iter().any(|begin| line.starts_with(begin));
    let before = output
        .split_inclusive('\n')
        .take_while(|line| !is_crash(line));
    let text = output.get(before.map(str::len).sum()..)?;
    // A program may print such a line too, but not the goroutines.
    if !text.contains("\ngoroutine ") {
        return None;
    }
    let mut lines = text.lines();
    let mut message = String::from(lines.next().unwrap_or_default());
    for end in [" [recovered]", " [recovered, repanicked]"] {
        message.truncate(message.strip_suffix(end).map_or(message.len(), str::len));
    }
    let mut trace = lines.clone();
    for line in lines {
        if line.is_empty() || line.starts_with("goroutine ") || line.starts_with("[signal ") {
            break;
        }
        let repeated = line.trim_start().starts_with("panic: ");
        if !repeated && !line.ends_with("[running]:") {
            message.push('\n');
            message.push_str(line);
        }
    }
    // The first goroutine is the one that has crashed.
    let is_head = |line: &&str| line.starts_with("goroutine ");
    let place = trace.find(is_head).and_then(|_| {
        let mut frames = trace.take_while(|line| !line.is_empty());
        frames.find_map(|line| package.place(line))
    });
    Some(Crash {
        message: one_line(&message),
        place,
        text: text.to_owned(),
    })
}

impl Crash {
    /// Whether it is the end of Go's own time limit.
    pub(crate) fn is_timeout(&self) -> bool {
        self.message.starts_with("panic: test timed out after ")
    }

    /// The reason of a test with this end.
    fn reason(&self) -> String {
        let place = match &self.place {
            Some((file, line)) => format!(" ({file}:{line})"),
            None => String::new(),
        };
        match self.message.contains(EXITED) {
            true => {
                format!("it called os.Exit(0){place}, so that nobody knows whether it would pass")
            }
            false => format!("{}{place}", self.message),
        }
    }

    /// Makes this the end of a test.
    pub(crate) fn describe(&self, result: &mut TestResult) {
        result.verdict = match self.message.contains(EXITED) {
            true => Verdict::Unknown,
            false => Verdict::Failed,
        };
        result.reason = Some(self.reason());
        result.failures = Some(self.text.clone());
        set_place(result, self.place.clone());
    }

    /// Makes this the end of a test that has no result, and of its subtests that have none.
    pub(crate) fn end(&self, result: &mut TestResult) {
        end(result, &mut |result| self.describe(result));
    }
}

/// Ends a test that has no result, and those of its subtests that have none.
pub(crate) fn end(result: &mut TestResult, describe: &mut impl FnMut(&mut TestResult)) {
    for section in &mut result.sections {
        if section.verdict == Verdict::Unknown {
            end(section, describe);
        }
    }
    describe(result);
}

/// Whether a test, or a subtest of it, has ended the process by a panic.
pub(crate) fn has_crashed(result: &TestResult) -> bool {
    let text = result.failures.as_deref().unwrap_or_default();
    CRASHES.iter().any(|begin| text.starts_with(begin)) || result.sections.iter().any(has_crashed)
}

impl Package {
    /// Reads the place of a frame in a file of the package: `\t/w/a/a_test.go:18 +0x27`. With
    /// `-trimpath` the path begins with that of the package.
    fn place(&self, frame: &str) -> Option<(String, i64)> {
        let path = frame.strip_prefix('\t')?;
        let path = path.split_once(" +0x").map_or(path, |(path, _)| path);
        let (path, line) = path.rsplit_once(':')?;
        let roots = [&self.directory, &self.import_path].into_iter();
        let mut inside = roots.filter_map(|root| path.strip_prefix(root.as_str()));
        let file = inside.find_map(|file| file.strip_prefix('/'))?;
        Some((file.to_owned(), line.parse().ok()?))
    }
}

#[cfg(test)]
mod tests;
