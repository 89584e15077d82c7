//! Owns how a component is pulled from an OCI registry. Does not know about locks, or what becomes
//! of the component.
//!
//! The format is that of the CNCF's Wasm artifacts, as `wkg` and `oras` push them: a component is
//! the one layer of type `application/wasm`. A signature is a layer of type
//! `application/vnd.persea.minisign`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncWrite;

use crate::engine::limits::ComponentSizeLimit;

/// The types of a component's layer. Older tools push the second one.
const COMPONENT: [&str; 2] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];

/// The type of a signature's layer.
const SIGNATURE: &str = "application/vnd.persea.minisign";

/// The largest signature, in bytes. It has some 300.
const SIGNATURE_BYTES: u64 = 4096;

/// The longest time in which a registry may send nothing.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A component from a registry.
#[derive(Debug)]
pub struct Pulled {
    /// The bytes of the component.
    pub bytes: Vec<u8>,
    /// The text of the component's signature, if the artifact has one.
    pub signature: Option<String>,
    /// The reference with the digest, which always names this very artifact.
    pub pinned: String,
}

/// Why a component was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The text is no reference.
    #[error(
        "`{reference}` is no reference of a registry, such as ghcr.io/team/plugin:1.0: {message}"
    )]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with the text.
        message: String,
    },
    /// The registry or the network has failed.
    #[error("cannot get {reference}: {message}")]
    Pull {
        /// The reference.
        reference: String,
        /// The error of the registry or the network.
        message: String,
    },
    /// The artifact is no plugin.
    #[error("{reference} is no plugin: {message}")]
    Artifact {
        /// The reference.
        reference: String,
        /// What the artifact is.
        message: String,
    },
}

/// Pulls the component that a reference names, by its digest or else by its tag. The host has no
/// password for registries.
pub async fn pull(reference: &str, limit: &ComponentSizeLimit) -> Result<Pulled, RegistryError> {
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
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // `Client::new` would ignore settings that it cannot use.
    let client = Client::try_from(ClientConfig {
        protocol: ClientProtocol::HttpsExcept(unencrypted(image.registry())),
        read_timeout: Some(TIMEOUT),
        connect_timeout: Some(TIMEOUT),
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
    let too_large = format!("it has reached {}", limit.reached);
    let bytes = get(component, limit.bytes, too_large).await?;
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

/// Adds the digest to a reference, and keeps its tag.
fn pin(image: &Reference, digest: String) -> String {
    let (registry, repository) = (image.registry().to_owned(), image.repository().to_owned());
    let pinned = match image.tag() {
        Some(tag) => Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest),
        None => image.clone_with_digest(digest),
    };
    pinned.whole()
}

/// Returns a registry if it is on this machine. By convention such registries have no encryption.
fn unencrypted(registry: &str) -> Vec<String> {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    here.then(|| registry.to_owned()).into_iter().collect()
}

/// Collects bytes up to a limit, because a registry may send more than it has announced.
struct Sink {
    bytes: Vec<u8>,
    most: u64,
    /// The error for more bytes.
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
    fn only_registries_on_this_machine_have_no_encryption() {
        assert_eq!(unencrypted("127.0.0.1:5000"), ["127.0.0.1:5000"]);
        assert_eq!(unencrypted("localhost"), ["localhost"]);
        assert!(unencrypted("127.0.0.1.example.org:5000").is_empty());
        assert!(unencrypted("ghcr.io").is_empty());
    }
}
