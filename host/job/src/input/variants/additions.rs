//! Owns what a varianter adds to a test for one variant: requirements, resources, a timeout. Does
//! not know what they mean.

use persea_model::{Attribute, Attributes, Requirement, Runnable, weight};

/// What a variant has in addition to its test.
#[derive(Debug, Default, PartialEq)]
pub(super) struct VariantAdditions {
    /// Requirements, after those of the test.
    pub(super) requirements: Vec<Requirement>,
    /// Resources by name. They replace those of the test that have the same names.
    pub(super) resources: Attributes,
    /// The timeout in nanoseconds; none for that of the test.
    pub(super) timeout: Option<u64>,
}

/// The keys of a runnable's open data.
const RESOURCES: &str = "resources";
const TIMEOUT: &str = "timeout";

impl VariantAdditions {
    /// What the additions take of the host's memory, in bytes.
    pub(super) fn weight(&self) -> u64 {
        let requirements = self.requirements.iter().map(weight::of_requirement);
        let requirements = requirements.fold(0, u64::saturating_add);
        requirements.saturating_add(weight::of_attributes(&self.resources))
    }

    /// Adds them to a variant of the test.
    pub(super) fn add_to(self, runnable: &mut Runnable) {
        runnable.requirements.extend(self.requirements);
        if !self.resources.is_empty() {
            let own = runnable.more.get(RESOURCES).filter(|own| !own.is_null());
            // A value that is no object is rejected where the plan is made.
            let own = own.map_or(Some(Attributes::new()), Attribute::members);
            if let Some(mut own) = own {
                own.extend(self.resources);
                runnable.more.insert(RESOURCES.to_owned(), own.into());
            }
        }
        if let Some(timeout) = self.timeout {
            runnable.more.insert(TIMEOUT.to_owned(), timeout.into());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn requirement(kind: &str) -> Requirement {
        Requirement {
            kind: kind.to_owned(),
            ..Requirement::default()
        }
    }

    fn attributes(json: serde_json::Value) -> Attributes {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn additions_extend_what_the_test_has() {
        let mut test = Runnable {
            requirements: vec![requirement("own")],
            more: attributes(json!({"resources": {"gpu": 1, "board": 1}, "timeout": 7})),
            ..Runnable::default()
        };
        let additions = VariantAdditions {
            requirements: vec![requirement("added")],
            resources: attributes(json!({"board": ["b2"], "port": 2})),
            timeout: Some(9),
        };
        assert!(additions.weight() > 0);
        additions.add_to(&mut test);
        let kinds = test.requirements.iter().map(|it| &*it.kind);
        assert_eq!(kinds.collect::<Vec<&str>>(), ["own", "added"]);
        let expected = json!({"resources": {"board": ["b2"], "gpu": 1, "port": 2}, "timeout": 9});
        assert_eq!(test.more, attributes(expected));
    }

    #[test]
    fn variant_without_additions_is_as_its_test() {
        let test = Runnable {
            more: attributes(json!({"resources": "wrong", "timeout": 7})),
            ..Runnable::default()
        };
        let mut variant = test.clone();
        VariantAdditions::default().add_to(&mut variant);
        assert_eq!(variant, test);
    }
}
