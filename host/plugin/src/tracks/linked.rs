//! Owns the linked form of a component, for each of its worlds. Does not know of which track the
//! component is, or where it came from.

use crate::tracks::calls::{
    BatchRunnerCalls, Component, ListerCalls, ProgramRunnerCalls, RequirementResolverCalls,
    ResolverCalls, ResultFormatCalls, RunnerCalls, SchedulerCalls, VarianterCalls,
};

/// A component that is linked to its powers, ready to be instantiated and called.
pub(crate) enum LinkedComponent {
    Resolver(Component<dyn ResolverCalls>),
    Lister(Component<dyn ListerCalls>),
    Runner {
        one_task: Component<dyn RunnerCalls>,
        /// How the runner runs many tasks on one instance, if it can.
        batch: Option<Component<dyn BatchRunnerCalls>>,
    },
    ProgramRunner(Component<dyn ProgramRunnerCalls>),
    ResultFormat(Component<dyn ResultFormatCalls>),
    RequirementResolver(Component<dyn RequirementResolverCalls>),
    Scheduler(Component<dyn SchedulerCalls>),
    Varianter(Component<dyn VarianterCalls>),
}
