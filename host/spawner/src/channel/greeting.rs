//! Owns the exchange of greetings, with which the host recognises the helper and its version. Does
//! not know about requests.

use persea_helper::protocol::{
    FrameReader, Hello, ProtocolError, Welcome, decode_greeting, encode_greeting,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Exchanges the greetings. The error is none if the streams ended before the helper's greeting.
pub(crate) async fn greet<R, W>(
    reader: &mut R,
    writer: &mut W,
    frames: &mut FrameReader,
    hello: &Hello,
) -> Result<Welcome, Option<ProtocolError>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    encode_greeting(hello, &mut bytes)?;
    // If sending fails, the other end is gone, but its output still shows what it was.
    let _ = writer.write_all(&bytes).await;
    let _ = writer.flush().await;
    let mut buffer = [0; 4096];
    loop {
        if let Some(frame) = frames.next_frame()? {
            return Ok(decode_greeting(frame)?);
        }
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return Err(None),
            Ok(n) => frames.push(buffer.get(..n).unwrap_or_default()),
        }
    }
}
