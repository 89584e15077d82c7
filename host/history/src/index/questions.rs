//! Owns the questions that can be asked of an index. Does not change it.

use persea_journal::Revision;
use persea_model::{Status, Tally};
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::Index;

/// A job, as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// The name of the job's directory.
    pub name: String,
    /// The job's id; empty where the journal does not have it.
    pub id: String,
    /// When the job started, in nanoseconds of Unix time; 0 where the journal does not say.
    pub started: u64,
    /// How long the job took, in nanoseconds; none if the journal has no end.
    pub elapsed: Option<u64>,
    /// Why the job was cut short, if it was.
    pub interrupted_by: Option<String>,
    /// The number of planned tests.
    pub total: u64,
    /// The number of tests that have ended, by status.
    pub tally: Tally,
    /// The number of tests that passed on a retry.
    pub flaky: u64,
    /// The working directory of the host.
    pub project: String,
    /// The commit of the project.
    pub revision: Option<Revision>,
    /// What is wrong with the journal.
    pub fault: Option<String>,
}

/// The result of a test in a job, as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEntry {
    /// The name of the job's directory.
    pub job: String,
    /// The job's id.
    pub job_id: String,
    /// When the job started, in nanoseconds of Unix time.
    pub job_started: u64,
    /// The commit of the project.
    pub revision: Option<Revision>,
    /// The result.
    pub status: Status,
    /// Whether the test has started.
    pub has_started: bool,
    /// How long the test ran, in nanoseconds.
    pub elapsed: u64,
    /// The number of attempts.
    pub attempts: u64,
    /// Whether the test passed on a retry.
    pub is_flaky: bool,
}

/// The columns of [`JobEntry`].
const JOB: &str = "name, job_id, started, elapsed, interrupted_by, total, tally, flaky, project, \
                   commit_id, branch, fault";

impl Index {
    /// The jobs, the newest first; at most `limit`. With the number of all.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn jobs(&self, limit: usize) -> rusqlite::Result<(Vec<JobEntry>, usize)> {
        let all = self
            .connection
            .query_row("SELECT count(*) FROM jobs", [], |row| unsigned(row, 0))?;
        let text = format!("SELECT {JOB} FROM jobs ORDER BY started DESC, name DESC LIMIT ?1");
        let mut statement = self.connection.prepare(&text)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let jobs = statement.query_map([limit], job)?;
        Ok((
            jobs.collect::<rusqlite::Result<_>>()?,
            usize::try_from(all).unwrap_or(usize::MAX),
        ))
    }

    /// The titles of the tests that a text names: the test with exactly this title, otherwise all
    /// whose titles contain the text, at most `limit`. With a project, only tests that a job in
    /// this directory has run count.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn titles(
        &self,
        text: &str,
        project: Option<&str>,
        limit: usize,
    ) -> rusqlite::Result<Vec<String>> {
        let plain = crate::record::plain_title(text);
        let is_run = "EXISTS (SELECT 1 FROM runs JOIN jobs ON jobs.id = runs.job
            WHERE runs.test = tests.id AND (?2 IS NULL OR jobs.project = ?2))";
        for condition in ["title = ?1", "instr(title, ?1) > 0"] {
            let query = format!(
                "SELECT title FROM tests WHERE {condition} AND {is_run} ORDER BY title LIMIT ?3"
            );
            let mut statement = self.connection.prepare(&query)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let titles = statement.query_map(params![plain, project, limit], |row| row.get(0))?;
            let titles: Vec<String> = titles.collect::<rusqlite::Result<_>>()?;
            if !titles.is_empty() {
                return Ok(titles);
            }
        }
        Ok(Vec::new())
    }

    /// The runs of the test with this title, the newest job first. With a project, only jobs in
    /// this directory count.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn runs(&self, title: &str, project: Option<&str>) -> rusqlite::Result<Vec<RunEntry>> {
        let mut statement = self.connection.prepare(
            "SELECT jobs.name, jobs.job_id, jobs.started, jobs.commit_id, jobs.branch,
                runs.status, runs.has_started, runs.elapsed, runs.attempts, runs.flaky
            FROM tests JOIN runs ON runs.test = tests.id JOIN jobs ON jobs.id = runs.job
            WHERE tests.title = ?1 AND (?2 IS NULL OR jobs.project = ?2)
            ORDER BY jobs.started DESC, jobs.name DESC",
        )?;
        let runs = statement.query_map(params![title, project], |row| {
            let status: String = row.get(5)?;
            let named = |it: &&Status| it.name() == status;
            let status = Status::ALL.iter().find(named);
            Ok(RunEntry {
                job: row.get(0)?,
                job_id: row.get(1)?,
                job_started: unsigned(row, 2)?,
                revision: revision(row, 3)?,
                status: *status.ok_or_else(|| unexpected(5))?,
                has_started: row.get(6)?,
                elapsed: unsigned(row, 7)?,
                attempts: unsigned(row, 8)?,
                is_flaky: row.get(9)?,
            })
        })?;
        runs.collect()
    }

    /// The number of runs of a test in jobs of other projects.
    ///
    /// # Errors
    /// The index is damaged.
    pub fn runs_elsewhere(&self, title: &str, project: &str) -> rusqlite::Result<u64> {
        self.connection.query_row(
            "SELECT count(*) FROM tests JOIN runs ON runs.test = tests.id
                JOIN jobs ON jobs.id = runs.job
            WHERE tests.title = ?1 AND jobs.project != ?2",
            params![title, project],
            |row| unsigned(row, 0),
        )
    }
}

fn job(row: &Row<'_>) -> rusqlite::Result<JobEntry> {
    let tally: String = row.get(6)?;
    let tally = serde_json::from_str(&tally);
    let elapsed: Option<i64> = row.get(3)?;
    Ok(JobEntry {
        name: row.get(0)?,
        id: row.get(1)?,
        started: unsigned(row, 2)?,
        elapsed: elapsed.map(i64::unsigned_abs),
        interrupted_by: row.get(4)?,
        total: unsigned(row, 5)?,
        tally: tally.map_err(|_| unexpected(6))?,
        flaky: unsigned(row, 7)?,
        project: row.get(8)?,
        revision: revision(row, 9)?,
        fault: row.get(11)?,
    })
}

fn revision(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Revision>> {
    let commit: Option<String> = row.get(at)?;
    let branch = row.get(at + 1)?;
    Ok(commit.map(|commit| Revision { commit, branch }))
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| unexpected(at))
}

/// The error of a value that this host has not written.
fn unexpected(at: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(at, "a value".to_owned(), Type::Text)
}
