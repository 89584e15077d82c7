//! Owns signatures of plugins: minisign's, checked where the configuration names keys. Does not
//! know about locks or files.
//!
//! It is minisign and not sigstore because a check needs nothing but the key: no server, log, clock
//! or identity provider, so that an offline job can check it. A key is the line that begins with
//! `RW` in minisign's `.pub` file, a signature the text of its `.minisig` file. The format:
//! <https://jedisct1.github.io/minisign/>.

use minisign_verify::{PublicKey, Signature};

use crate::error::PluginError;
use persea_config::Config;
use persea_config::settings;

/// The keys of the setting `plugins.keys`. One of them must have signed a plugin, if there are any.
pub(crate) struct SigningKeys(Vec<PublicKey>);

impl SigningKeys {
    pub(crate) fn new(config: &Config) -> Result<Self, PluginError> {
        let read = |text: String| {
            PublicKey::from_base64(text.trim()).map_err(|_| PluginError::Signature {
                plugin: format!("`{text}`"),
                message:
                    "in the setting `plugins.keys` is no minisign public key: write the second \
                          line of its .pub file"
                        .into(),
            })
        };
        let keys = config.get(settings::PLUGINS_KEYS).into_iter().map(read);
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Checks that one of the keys has signed these bytes. Without keys, nothing has to be signed.
    pub(crate) fn check(
        &self,
        plugin: &str,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> Result<(), PluginError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let wrong = |message: &str| PluginError::Signature {
            plugin: plugin.to_owned(),
            message: message.to_owned(),
        };
        let text = signature.ok_or_else(|| {
            wrong(
                "is not signed, and the setting `plugins.keys` wants it to be: `persea plugin add` \
                 or `update` it with its .minisig file beside it",
            )
        })?;
        let signature = Signature::decode(text).map_err(|_| {
            wrong(
                "has a signature that cannot be read: it has to be the text of minisign's .minisig \
                 file",
            )
        })?;
        let signed = |key: &PublicKey| key.verify(bytes, &signature, false).is_ok();
        match self.0.iter().any(signed) {
            true => Ok(()),
            false => Err(wrong(
                "is not signed with any of the keys in the setting `plugins.keys`",
            )),
        }
    }
}
