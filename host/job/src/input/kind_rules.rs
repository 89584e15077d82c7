//! Owns kinds by pattern: rules that say which kind of test a file is, and how it is run. Does not
//! know how files are found.

pub(super) mod written;

use std::path::{Path, PathBuf};

use persea_config::{Config, Origin, SafeDirectories, settings};
use persea_model::{Attributes, Runnable};
use serde::Deserialize;

use crate::input::globs::{self, GlobError, Globs};
use crate::input::hint;
use crate::input::own_settings;
use written::{OneOrMore, PATH, WrittenRule};

/// Why the rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KindRulesError {
    /// A rule of the settings is wrong.
    #[error("{origin}: the {number}. `[[kind]]`: {why}")]
    Rule {
        /// Where the setting comes from.
        origin: Origin,
        /// The number of the rule, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
    /// A glob of `references.exclude` is wrong.
    #[error("the setting `{}`: {source}", settings::REFERENCES_EXCLUDE.name())]
    Exclude {
        /// The glob, and what is wrong with it.
        #[from]
        source: GlobError,
    },
    /// Avocado's file of hints is wrong.
    #[error(transparent)]
    Hint(#[from] hint::HintError),
}

/// How a file runs that a rule matches.
#[derive(Debug)]
pub(crate) enum RuleAnswer {
    /// As this runnable.
    Runnable(Box<Runnable>),
    /// Not at all: the rule has a program, and this kind runs its files by itself.
    NeedlessProgram(String),
    /// As the resolvers of this kind say. The conditions of the rule are added to their runnables.
    Resolve {
        /// The kind.
        kind: String,
        /// The rule, as an index into [`KindRules`].
        rule: usize,
    },
}

/// The rules of a job, and what is left out of directories.
#[derive(Debug, Default)]
pub struct KindRules {
    rules: Vec<KindRule>,
    exclude: Globs,
    /// The directory in which `persea` was started.
    start: PathBuf,
}

#[derive(Debug)]
struct KindRule {
    files: Globs,
    exclude: Globs,
    written: WrittenRule,
}

impl KindRule {
    fn new(written: WrittenRule) -> Result<Self, String> {
        if written.kind.is_empty() {
            return Err("`kind`: expected the name of a kind, found an empty text".to_owned());
        }
        if written.files.texts().is_empty() || written.files.texts().iter().any(String::is_empty) {
            return Err("`match`: expected a glob, found none".to_owned());
        }
        written.conditions.check()?;
        let mut own = Attributes::new();
        written.conditions.add_to(&mut own);
        own_settings::check(&own)?;
        let compile = |name: &str, texts: &OneOrMore| {
            Globs::new(texts.texts()).map_err(|error| format!("`{name}`: {error}"))
        };
        Ok(Self {
            files: compile("match", &written.files)?,
            exclude: compile("exclude", &written.exclude)?,
            written,
        })
    }

    /// The runnable of a file, for a rule with a program.
    fn runnable(&self, reference: &str, start: &Path) -> Runnable {
        let written = &self.written;
        // In another directory, a relative path would name another file.
        let path = match &written.conditions.cwd {
            Some(_) => start.join(reference).to_string_lossy().into_owned(),
            None => reference.to_owned(),
        };
        let mut is_named = false;
        let mut words = written.program.iter().map(|word| {
            is_named |= word.contains(PATH);
            word.replace(PATH, &path)
        });
        let program = words.next();
        let mut args: Vec<String> = words.collect();
        let uri = match program {
            Some(program) => {
                if !is_named && !written.is_exact {
                    args.push(path);
                }
                program
            }
            None => path,
        };
        let mut runnable = Runnable {
            kind: written.kind.clone(),
            uri: Some(uri),
            args,
            kwargs: written.kwargs.clone(),
            identifier: Some(reference.to_owned()),
            ..Runnable::default()
        };
        self.add_to(&mut runnable);
        runnable
    }

    /// Adds what the rule says to a runnable. What the runnable says itself wins.
    fn add_to(&self, runnable: &mut Runnable) {
        let WrittenRule {
            env,
            tags,
            conditions,
            ..
        } = &self.written;
        for (name, value) in env {
            if !runnable.env.iter().any(|(own, _)| own == name) {
                runnable.env.push((name.clone(), Some(value.clone())));
            }
        }
        for (name, values) in tags {
            if !runnable.tags.iter().any(|(own, _)| own == name) {
                runnable.tags.push((name.clone(), values.clone()));
            }
        }
        conditions.add_to(&mut runnable.more);
    }
}

/// The kinds with a resolver whose tests are programs: `uri` and `args` are a command.
pub(super) const PROGRAM_KINDS: [&str; 2] = ["exec-test", "tap"];

impl KindRules {
    /// The rules of the settings, then those of Avocado's file of hints in this directory.
    ///
    /// # Errors
    /// A rule or a glob is not valid, or the hints cannot be read.
    pub fn new(
        config: &Config,
        safe: &SafeDirectories,
        start: &Path,
    ) -> Result<Self, KindRulesError> {
        let origin = config.set_by(settings::KIND.name());
        let origin = origin.map_or(Origin::Default, |(_, origin)| origin.clone());
        let mut rules = Vec::new();
        for (index, value) in config.get(settings::KIND).iter().enumerate() {
            let written = WrittenRule::deserialize(value).map_err(|error| error.to_string());
            let rule = written.and_then(KindRule::new);
            rules.push(rule.map_err(|why| KindRulesError::Rule {
                origin: origin.clone(),
                number: index + 1,
                why,
            })?);
        }
        for written in hint::read(start, safe)? {
            let rule = KindRule::new(written);
            rules.push(rule.map_err(|why| hint::HintError::rule(start, why))?);
        }
        Ok(Self {
            rules,
            exclude: Globs::new(&config.get(settings::REFERENCES_EXCLUDE))?,
            start: start.to_path_buf(),
        })
    }

    /// The globs of all rules, as references.
    pub(super) fn references(&self) -> impl Iterator<Item = String> {
        let globs = self.rules.iter().flat_map(|it| it.written.files.texts());
        globs.map(|glob| match glob.contains('/') {
            true => glob.clone(),
            false => format!("**/{glob}"),
        })
    }

    /// The path of a reference as globs see it.
    pub(crate) fn below(&self, reference: &str) -> PathBuf {
        globs::below(reference, &self.start)
    }

    /// Whether a file of a directory is left out.
    pub(crate) fn excludes(&self, reference: &str) -> bool {
        if self.exclude.is_empty() {
            return false;
        }
        let path = self.below(reference);
        self.exclude.match_any_part(&path)
    }

    /// The answer of the first rule that matches a file.
    pub(crate) fn answer(
        &self,
        reference: &str,
        is_resolved: impl Fn(&str) -> bool,
    ) -> Option<RuleAnswer> {
        if self.rules.is_empty() {
            return None;
        }
        let path = self.below(reference);
        let matches =
            |rule: &KindRule| rule.files.match_file(&path) && !rule.exclude.match_file(&path);
        let index = self.rules.iter().position(matches)?;
        let rule = self.rules.get(index)?;
        let kind = &rule.written.kind;
        let has_program = !rule.written.program.is_empty();
        if has_program && is_resolved(kind) && !PROGRAM_KINDS.contains(&kind.as_str()) {
            return Some(RuleAnswer::NeedlessProgram(kind.clone()));
        }
        if !has_program && is_resolved(kind) {
            return Some(RuleAnswer::Resolve {
                kind: kind.clone(),
                rule: index,
            });
        }
        let runnable = rule.runnable(reference, &self.start);
        Some(RuleAnswer::Runnable(Box::new(runnable)))
    }

    /// Adds what a rule says to a runnable of a resolver.
    pub(crate) fn add_to(&self, rule: usize, runnable: &mut Runnable) {
        if let Some(rule) = self.rules.get(rule) {
            rule.add_to(runnable);
        }
    }
}

#[cfg(test)]
#[path = "kind_rules_tests.rs"]
mod tests;
