//! Owns the connection of the crates `log` and `tracing` to the power `log`. Does not know which
//! messages the host keeps.

/// Makes the macros of both crates write to the host's log. A logger or subscriber that the program
/// has installed before stays.
pub(crate) fn install() {
    #[cfg(feature = "log")]
    if ::log::set_logger(&log_crate::Facade).is_ok() {
        ::log::set_max_level(::log::LevelFilter::Trace);
    }
    #[cfg(feature = "tracing")]
    {
        let dispatch = tracing_core::Dispatch::new(tracing_crate::Facade);
        // Fails when the program has installed a subscriber, which stays.
        let _ = tracing_core::dispatcher::set_global_default(dispatch);
    }
}

#[cfg(feature = "log")]
mod log_crate {
    use crate::log::Level;
    use log::{Log, Metadata, Record};

    pub(super) struct Facade;

    impl Log for Facade {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let level = match record.level() {
                log::Level::Error => Level::Error,
                log::Level::Warn => Level::Warn,
                log::Level::Info => Level::Info,
                log::Level::Debug => Level::Debug,
                log::Level::Trace => Level::Trace,
            };
            match record.args().as_str() {
                Some(message) => crate::log::log(level, message),
                None => crate::log::log(level, &record.args().to_string()),
            }
        }

        fn flush(&self) {}
    }
}

#[cfg(feature = "tracing")]
mod tracing_crate {
    use crate::log::Level;
    use std::fmt::{Debug, Write};
    use tracing_core::field::{Field, Visit};
    use tracing_core::span::{Attributes, Id, Record};
    use tracing_core::{Event, Metadata, Subscriber};

    /// Writes events and ignores spans: the host's log has no spans.
    pub(super) struct Facade;

    impl Subscriber for Facade {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.is_event()
        }

        fn event(&self, event: &Event<'_>) {
            let level = match *event.metadata().level() {
                tracing_core::Level::ERROR => Level::Error,
                tracing_core::Level::WARN => Level::Warn,
                tracing_core::Level::INFO => Level::Info,
                tracing_core::Level::DEBUG => Level::Debug,
                tracing_core::Level::TRACE => Level::Trace,
            };
            let mut line = Line::default();
            event.record(&mut line);
            crate::log::log(level, &(line.message + &line.fields));
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// An event as text: `message name=value name=value`.
    #[derive(Default)]
    struct Line {
        message: String,
        fields: String,
    }

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            // Writing to a String cannot fail.
            let _ = match field.name() {
                "message" => write!(self.message, "{value:?}"),
                name => write!(self.fields, " {name}={value:?}"),
            };
        }
    }
}

#[cfg(all(test, any(feature = "log", feature = "tracing")))]
mod tests {
    use crate::log::Level;
    use crate::testing::Host;

    #[cfg(feature = "log")]
    #[test]
    fn log_macros_write_to_the_log_of_the_host() {
        let host = Host::new().install();
        ::log::warn!("{} things", 3);
        ::log::trace!("plain");
        assert_eq!(
            host.log(),
            [
                (Level::Warn, "3 things".into()),
                (Level::Trace, "plain".into())
            ]
        );
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn tracing_events_write_to_the_log_of_the_host() {
        let host = Host::new().install();
        let _span = tracing::info_span!("outer", a = 1).entered();
        tracing::error!(code = 3, who = "me", "went {}", "wrong");
        assert_eq!(
            host.log(),
            [(Level::Error, "went wrong code=3 who=\"me\"".into())]
        );
    }
}
