//! Plugins from OCI registries: a component is the one layer of WebAssembly in an artifact. Knows nothing of locks or of what is done with it.
//!
//! The format is that of the CNCF's Wasm artifacts (a layer of type `application/wasm`), as `wkg` and `oras` push it; a signature is a layer of
//! type `application/vnd.persea.minisign`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncWrite;

use crate::engine::limits::Largest;

/// The types of a layer that is a component; the second is what older tools push.
const COMPONENT: [&str; 2] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

/// The type of a layer that is its signature.
const SIGNATURE: &str = "application/vnd.persea.minisign";

/// A signature has some 300 bytes.
const SIGNATURE_BYTES: u64 = 4096;

/// The longest that a registry may take to answer or to go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a registry had.
#[derive(Debug)]
pub struct Pulled {
    /// The component.
    pub bytes: Vec<u8>,
    /// The text of its signature, where there is one.
    pub signature: Option<String>,
    /// What to ask for to get this very one again: the reference with the digest.
    pub pinned: String,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It is no reference.
    #[error(
        "`{reference}` is no reference of a registry, such as ghcr.io/team/plugin:1.0: {message}"
    )]
    Reference {
        /// What was written.
        reference: String,
        /// What is wrong with it.
        message: String,
    },
    /// The registry did not give it.
    #[error("cannot get {reference}: {message}")]
    Pull {
        /// What was asked for.
        reference: String,
        /// What the registry or the network said.
        message: String,
    },
    /// What is there is no plugin.
    #[error("{reference} is no plugin: {message}")]
    Artifact {
        /// What was asked for.
        reference: String,
        /// What it is.
        message: String,
    },
}

/// Gets what a reference names: of its tag what that is now, unless there is a digest. Nobody is asked for a password.
pub async fn pull(reference: &str, most: &Largest) -> Result<Pulled, RegistryError> {
    let image: Reference =
        reference
            .parse()
            .map_err(|error: oci_client::ParseError| RegistryError::Reference {
                reference: reference.to_owned(),
                message: error.to_string(),
            })?;
    let failed = |error: oci_client::errors::OciDistributionError| RegistryError::Pull {
        reference: reference.to_owned(),
        message: error.to_string(),
    };
    let artifact = |message: String| RegistryError::Artifact {
        reference: reference.to_owned(),
        message,
    };
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // `new` would go on without these settings where they don't do.
    let client = Client::try_from(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(unencrypted(image.registry())),
        read_timeout: Some(PATIENCE),
        connect_timeout: Some(PATIENCE),
        user_agent: concat!("persea/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    });
    let client = client.map_err(failed)?;
    let pulled = client.pull_manifest(&image, &RegistryAuth::Anonymous).await;
    let (manifest, digest) = pulled.map_err(failed)?;
    let OciManifest::Image(manifest) = manifest else {
        return Err(artifact("it is an index of several".into()));
    };
    let of = |types: &[&str]| -> Vec<OciDescriptor> {
        let layers = manifest.layers.iter();
        layers
            .filter(|layer| types.contains(&layer.media_type.as_str()))
            .cloned()
            .collect()
    };
    let components = of(&COMPONENT);
    let [component] = components.as_slice() else {
        let count = components.len();
        return Err(artifact(format!(
            "it has {count} layers of type {}",
            COMPONENT[0]
        )));
    };
    let get = async |layer: &OciDescriptor, most: u64, too_large: String| {
        let mut sink = Sink {
            bytes: Vec::new(),
            most,
            too_large,
        };
        match client.pull_blob(&image, layer, &mut sink).await {
            Ok(()) => Ok(sink.bytes),
            Err(error) => Err(failed(error)),
        }
    };
    let too_large = format!("it has reached {}", most.reached);
    let bytes = get(component, most.bytes, too_large).await?;
    let signature = match of(&[SIGNATURE]).first() {
        None => None,
        Some(layer) => {
            let too_large = format!("its signature has more than {SIGNATURE_BYTES} bytes");
            let text = String::from_utf8(get(layer, SIGNATURE_BYTES, too_large).await?);
            Some(text.map_err(|_| artifact("its signature is no text".into()))?)
        }
    };
    Ok(Pulled {
        bytes,
        signature,
        pinned: pin(&image, digest),
    })
}

/// A reference with what its tag, which stays, is now.
fn pin(image: &Reference, digest: String) -> String {
    let place = || (image.registry().to_owned(), image.repository().to_owned());
    let pinned = match image.tag() {
        Some(tag) => {
            let (registry, repository) = place();
            Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest)
        }
        None => image.clone_with_digest(digest),
    };
    pinned.whole()
}

/// Registries on this machine are spoken to without encryption, as everywhere.
fn unencrypted(registry: &str) -> Vec<String> {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    here.then(|| registry.to_owned()).into_iter().collect()
}

/// Takes what comes, up to a limit: a registry may send more than it announced.
struct Sink {
    bytes: Vec<u8>,
    most: u64,
    /// What is said of more.
    too_large: String,
}

impl AsyncWrite for Sink {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if (self.bytes.len() + bytes.len()) as u64 > self.most {
            let message = std::mem::take(&mut self.too_large);
            return Poll::Ready(Err(io::Error::other(message)));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_without_encryption() {
        assert_eq!(unencrypted("127.0.0.1:5000"), ["127.0.0.1:5000"]);
        assert_eq!(unencrypted("localhost"), ["localhost"]);
        assert!(unencrypted("127.0.0.1.example.org:5000").is_empty());
        assert!(unencrypted("ghcr.io").is_empty());
    }
}
