//! Owns the log of the host on the standard error: its level and its layout.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format;

use super::output::eprint_line;
use persea_display as display;
use persea_model::names::printable;

/// Starts the log. `verbose` counts `-v`; the variable `PERSEA_LOG` takes precedence.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => "persea=warn",
        1 => "persea=info",
        _ => "persea=debug",
    };
    let asked = std::env::var_os("PERSEA_LOG").map(|filter| match filter.to_str() {
        None => Err("it is not UTF-8".to_owned()),
        Some(text) => EnvFilter::try_new(text).map_err(|why| why.to_string()),
    });
    let filter = match asked {
        Some(Ok(filter)) => filter,
        Some(Err(why)) => {
            eprint_line(format_args!(
                "warning: the variable PERSEA_LOG is ignored: {why}"
            ));
            EnvFilter::new(level)
        }
        None => EnvFilter::new(level),
    };
    let fields = format::debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        match field.name() {
            "message" => write!(writer, "{}", printable(&text)),
            name => write!(writer, " {name}={}", printable(&text)),
        }
    });
    let colours = anstream::AutoStream::choice(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(fields)
        .with_ansi(colours != anstream::ColorChoice::Never)
        .with_writer(|| display::StandardError)
        .without_time()
        .with_target(false)
        .try_init();
}
