//! Owns the parts of the page around its data: the head with the style and the security policy, the
//! body, and the script. Does not know what the data is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::noscript::{Escaped, Summary};

const STYLE: &str = include_str!("page/style.css");
const BODY: &str = include_str!("page/body.html");

/// The script, in the order in which its parts use each other.
const SCRIPT: &str = concat!(
    "'use strict';\n",
    include_str!("page/data.js"),
    include_str!("page/dom.js"),
    include_str!("page/address.js"),
    include_str!("page/compare.js"),
    include_str!("page/details.js"),
    include_str!("page/tests.js"),
    include_str!("page/timeline.js"),
    include_str!("page/needs.js"),
    include_str!("page/main.js"),
);

/// Appends the page up to its data.
pub(crate) fn begin(to: &mut Vec<u8>, job_name: &str) {
    let head = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{BODY}\
         <script type=\"application/x-ndjson\" id=\"records\">\n",
        hash(SCRIPT),
        hash(STYLE),
        Escaped(job_name),
    );
    to.extend_from_slice(head.as_bytes());
}

/// Appends the page after its data.
pub(crate) fn end(to: &mut Vec<u8>, summary: &Summary) {
    let end = format!(
        "</script>\n<noscript>{summary}</noscript>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    );
    to.extend_from_slice(end.as_bytes());
}

/// The hash by which a security policy allows an inline script or style: Content Security Policy
/// Level 3, section 2.3.1.
fn hash(source: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(source)))
}
